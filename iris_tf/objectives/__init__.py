"""Training objectives: losses, miners, distillers, schedules and term weights. The training loop
is in `iris_tf.training`.
"""
