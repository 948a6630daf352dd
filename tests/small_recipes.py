"""Training recipes that run in seconds."""

from omegaconf import OmegaConf

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.training_recipe import TrainRecipe


def write_recipe(path, run, dataset, **changes):
    """Write a recipe of the tiny network; `changes` may be nested dicts."""
    values = {
        "run": str(run),
        "dataset": str(dataset),
        "seed": 7,
        "network": {
            "name": "tiny",
            "input_size": [32, 32],
            "embedding_size": 8,
            "weights": "none",
            "batchnorm_momentum": 0.5,
        },
        "batch": {"groups": 4, "steps_per_epoch": 5},
        "epochs": 2,
        "warm_epochs": 1,
        "unfreeze_epochs": 0,
    }
    path.write_text(OmegaConf.to_yaml(OmegaConf.merge(values, changes)), encoding="utf-8")
    return path


def small_recipe(folder, dataset, **changes):
    """The recipe as an object; its run folder is ``folder/run``."""
    path = write_recipe(folder / "recipe.yaml", folder / "run", dataset, **changes)
    return load_recipe(path, TrainRecipe)
