"""Recipes: their dataclasses, one file per pipeline, YAML loading, and the closed lists of names.
Nothing here acts on a recipe.
"""
