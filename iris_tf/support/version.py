"""The version of iris_tf, in one place for the package, its files and its pages."""

__version__ = "0.2.0"
