"""Image sets: layouts, manifest, splits, synthetic eyes and the input pipeline."""
