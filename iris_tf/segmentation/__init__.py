"""Where the iris is in an eye image, and the crop that the networks see."""
