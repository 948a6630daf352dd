"""Recipes: dataclasses, YAML loading with overrides, error messages that name key and line."""
