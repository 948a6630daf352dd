"""From scores to figures with confidence intervals, in pure NumPy. No files, no models, no HTML."""
