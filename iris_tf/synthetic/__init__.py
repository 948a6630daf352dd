"""Synthetic eyes: the renderer, its dataset writer, training samples for segmenters and strips
for recognition. None of it is needed to recognise real eyes.
"""
