"""Layers, backbones, heads, layer rewrites, embedding models and the segmentation network. Not
how they are trained.
"""
