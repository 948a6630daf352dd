"""Export of Keras models to `.tflite` files at each precision, with parity checks and cards."""
