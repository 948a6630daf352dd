"""Training speed from the input pipeline and from memory, to tell if the pipeline limits it."""

import time
from collections.abc import Iterator

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError
from iris_tf.training.prepare_training import prepare_training

_WARMUP_STEPS = 3
_ROUNDS = 3


def measure_training(recipe: TrainRecipe, steps: int = 30) -> dict[str, float]:
    """Train for a few steps from the pipeline and from one batch in memory, alternately.

    Parameters
    ----------
    recipe : TrainRecipe
        Recipe of the training to measure; its run folder is not written to.
    steps : int, optional
        Steps in each of three rounds.

    Returns
    -------
    dict
        ``memory_images_per_s`` and ``pipeline_images_per_s`` (best of the rounds, the
        one least affected by other load), and ``ratio``, pipeline over memory.

    Raises
    ------
    RecipeError, DatasetError, ModelError
        If recipe or dataset cannot be used.
    """
    if recipe.strategy == "multi_worker":
        raise RecipeError(
            "strategy is multi_worker, but training speed is measured on one machine; choose "
            "single or mirrored."
        )
    training = prepare_training(recipe)
    trainer = training.trainer
    trainer.make_train_function()  # the step that `fit` runs, with its devices and XLA
    pipeline = training.dataset(0).repeat()
    batch = next(iter(pipeline))
    memory = tf.data.Dataset.from_tensors(batch).repeat()
    images = batch[0].shape[0] * batch[0].shape[1]
    distribute = trainer.distribute_strategy.experimental_distribute_dataset

    def seconds(source: Iterator) -> float:
        for _ in range(_WARMUP_STEPS):
            logs = trainer.train_function(next(source))
        float(logs["loss"])  # waits for the devices
        started = time.perf_counter()
        for _ in range(steps):
            logs = trainer.train_function(next(source))
        float(logs["loss"])
        return time.perf_counter() - started

    sources = [iter(distribute(source)) for source in (memory, pipeline)]
    rounds = [[seconds(source) for source in sources] for _ in range(_ROUNDS)]
    from_memory, from_pipeline = (
        images * steps / min(column) for column in zip(*rounds, strict=True)
    )
    return {
        "memory_images_per_s": from_memory,
        "pipeline_images_per_s": from_pipeline,
        "ratio": from_pipeline / from_memory,
    }
