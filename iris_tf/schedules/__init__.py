"""Quantities that change over training: margin, mining ratios, distillation weight, learning rate.

Epochs are counted from 0, so the paper's epochs 1 to 8 are 0 to 7 here.
"""
