"""Layers, backbones, heads, layer rewrites, embedding models and the segmentation network.
Training is in `iris_tf.training`.
"""
