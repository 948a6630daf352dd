"""Distances and losses as pure functions of `keras.ops`."""
