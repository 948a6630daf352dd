"""Synthetic near-infrared eye images with exact ground truth."""
