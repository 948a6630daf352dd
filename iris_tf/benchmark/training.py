"""Whether the input pipeline holds training back: a step fed from it and one fed from memory."""

import itertools
import time
from collections.abc import Iterator

import tensorflow as tf

from iris_tf.config.recipe import TrainRecipe
from iris_tf.training.run import prepare_training

_WARMUP_STEPS = 3
_ROUNDS = 3


def measure_training(recipe: TrainRecipe, steps: int = 30) -> dict[str, float]:
    """Train for a few steps from the pipeline and from one batch in memory, in turns.

    Parameters
    ----------
    recipe : TrainRecipe
        Of the training to measure; its run folder is not touched.
    steps : int, optional
        Steps of each of three rounds.

    Returns
    -------
    dict
        ``memory_images_per_s`` and ``pipeline_images_per_s`` (best of the rounds,
        which other load disturbs least), and ``ratio``, pipeline by memory.

    Raises
    ------
    RecipeError, DatasetError, ModelError
        When recipe or dataset cannot be used.
    """
    training = prepare_training(recipe)
    step = tf.function(training.trainer.train_step)
    batches = itertools.chain.from_iterable(itertools.repeat(training.dataset(0)))
    batch = next(batches)
    images = batch[0].shape[0] * batch[0].shape[1]

    def seconds(source: Iterator) -> float:
        for _ in range(_WARMUP_STEPS):
            step(next(source))
        started = time.perf_counter()
        for _ in range(steps):
            step(next(source))
        return time.perf_counter() - started

    rounds = [(seconds(itertools.repeat(batch)), seconds(batches)) for _ in range(_ROUNDS)]
    from_memory, from_pipeline = (
        images * steps / min(column) for column in zip(*rounds, strict=True)
    )
    return {
        "memory_images_per_s": from_memory,
        "pipeline_images_per_s": from_pipeline,
        "ratio": from_pipeline / from_memory,
    }
