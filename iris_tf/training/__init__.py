"""Training of a recipe into a run folder: input pipeline, trainer, optimisers, callbacks and
finishing. Losses are in `iris_tf.objectives`, export is in `iris_tf.exporting`.
"""
