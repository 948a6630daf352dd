"""iris_tf: from near-infrared eye images to small TFLite iris-recognition models.

Importing the package is cheap: TensorFlow is loaded only by the modules that
train or export.
"""

__version__ = "0.1.0"
