"""Using exported models: the model card and the TFLite embedder. No TensorFlow."""
