"""Training: the trainer with its own step, optimiser groups, callbacks, run folders, resume."""
