"""From a folder of images to a prepared dataset: read, locate, crop; journal, quality rules,
failures and contact sheet. Not the segmenters themselves.
"""
