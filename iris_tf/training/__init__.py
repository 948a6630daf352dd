"""From a recipe to a trained run folder: input pipeline, trainer, optimisers, callbacks and
finishing. Not the losses, nor any export.
"""
