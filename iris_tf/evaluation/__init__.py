"""Scores, verification and identification metrics, confidence intervals, the report."""
