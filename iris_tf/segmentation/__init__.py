"""Iris segmentation: the `Segmenter` interface and its implementations, ROI modes and image
quality. Datasets of crops and the training of segmenters live in other rooms.
"""
