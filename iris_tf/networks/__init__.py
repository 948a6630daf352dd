"""Keras layers and embedding networks, looked up by name in `networks.registry`."""
