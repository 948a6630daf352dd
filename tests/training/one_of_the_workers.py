"""`iris-tf` with a network without batch statistics, which each worker has of its own images.

With it, several workers take the steps of one: ``python one_of_the_workers.py train RECIPE.yaml``.
"""

import dataclasses
import sys
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_network import NAME, NETWORKS, SPEC

from iris_tf.training import starting_point

ONE_STAGE = dataclasses.replace(SPEC, stages=("conv1_.*",))


def student(recipe, channels):
    """A small network in place of that of a recipe, with weights of the recipe's seed."""
    keras.utils.set_random_seed(recipe.seed)
    roi = keras.Input((*recipe.network.input_size, channels))
    x = keras.layers.Rescaling(1 / 255)(roi)
    x = keras.layers.Conv2D(4, 5, strides=4, activation="relu", name="conv1_conv")(x)
    x = keras.layers.Dense(recipe.network.embedding_size, name="head_linear")(
        keras.layers.Flatten()(x)
    )
    return keras.Model(roi, keras.layers.UnitNormalization()(x), name=NAME)


if __name__ == "__main__":
    from iris_tf.cli.app import main

    NETWORKS[NAME] = ONE_STAGE
    starting_point.build_student = student
    main()
