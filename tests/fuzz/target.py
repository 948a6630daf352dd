"""A format under test."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A format under test.

    Attributes
    ----------
    name : str
        File name that the mutants get.
    originals : callable
        From a folder for other files to the contents of valid files.
    mutate : callable
        From a content and a random generator to a mutant's content.
    read : callable
        Reads the mutant at a path.
    in_suite : int
        Number of mutants in the test suite.
    in_full : int
        Number of mutants in ``make fuzz``.
    """

    name: str
    originals: Callable
    mutate: Callable
    read: Callable
    in_suite: int = 500
    in_full: int = 10_000
