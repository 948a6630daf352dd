"""Where the iris is: the `Segmenter` interface and its implementations, ROI modes and image
quality. Not datasets of crops, nor the training of a segmenter.
"""
