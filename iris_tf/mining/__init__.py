"""Miners: they return indices of negatives, and own no loss."""
