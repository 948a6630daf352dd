"""Pipeline stages of launchers and commands; a stage is skipped if its outputs are complete."""
