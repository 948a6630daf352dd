"""Fuzzing of every format that the project reads."""
