"""What a recipe may say: dataclasses, one file a pipeline, YAML loading, and the closed lists of
names, each written once. Not what is done with a recipe.
"""
