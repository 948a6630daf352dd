"""Reading and checking images, and the geometry of ellipses and windows. Not where an iris is."""
