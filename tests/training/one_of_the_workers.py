"""`iris-tf` with a network without batch statistics, which each worker has of its own images.

With it, several workers take the steps of one: ``python one_of_the_workers.py train RECIPE.yaml``.
With HOLD_AFTER_EPOCH in the environment, the chief waits after that epoch's checkpoint until the
file `go-on` is in the run folder, so that a test can end a worker before the next step.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_network import NAME, NETWORKS, SPEC

from iris_tf.training import starting_point
from iris_tf.training.run_folder import RunFolder

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


def hold_after(epoch):
    """Make `RunFolder.save_state` wait after the checkpoint of `epoch`."""
    save_state = RunFolder.save_state

    def save_and_hold(run, state, save_weights):
        save_state(run, state, save_weights)
        while state.epochs_done == epoch and not (run.path / "go-on").exists():
            time.sleep(0.01)

    RunFolder.save_state = save_and_hold


if __name__ == "__main__":
    from iris_tf.cli.app import main

    if "HOLD_AFTER_EPOCH" in os.environ:
        hold_after(int(os.environ["HOLD_AFTER_EPOCH"]))
    NETWORKS[NAME] = ONE_STAGE
    starting_point.build_student = student
    main()
