"""The stages that launchers and commands run, each skipped when its outputs are complete."""
