"""Trained Keras models to TFLite files."""
