"""The masks that a segmentation network gives, in the order of its output channels."""

CHANNELS = ("visible", "pupil", "iris", "opening")
"""Visible iris; whole pupil; whole iris with pupil; eyeball between the lids."""
