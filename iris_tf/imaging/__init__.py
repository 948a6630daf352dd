"""Image reading and validation, and the geometry of ellipses and windows; no segmentation."""
