"""The version of iris_tf; package metadata, written files and reports all take it from here."""

__version__ = "0.2.0"
