"""From Keras models to `.tflite` files at each precision, with parity checks and the card."""
