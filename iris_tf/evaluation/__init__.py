"""Studies of a model: which pairs are compared, baselines, degradations, failures, saliency and
segmenter scores. Writes figures, not pages.
"""
