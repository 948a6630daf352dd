"""Below eight bits: fake quantisers for training, masks of bits per weight, packed files.

Static 8-bit TFLite files are made in `iris_tf.exporting`.
"""
