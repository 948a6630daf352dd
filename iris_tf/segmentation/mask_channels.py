"""Output channels of a segmentation network, in order."""

CHANNELS = ("visible", "pupil", "iris", "opening")
"""Visible iris; full pupil; full iris including the pupil; eyeball between the eyelids."""
