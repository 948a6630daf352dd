"""A network that trains in milliseconds, by the registry's rules.

As a program it is `iris-tf` with this network registered:
``python tests/tiny_network.py train RECIPE.yaml``.
"""

import keras

from iris_tf.networks.registry import NETWORKS, NetworkSpec, PretrainedInput

NAME = "tiny"


def _build(input_tensor, weights):
    x = input_tensor
    for stage, filters in enumerate((4, 6, 8), start=1):
        x = keras.layers.Conv2D(filters, 3, strides=2, name=f"conv{stage}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"conv{stage}_bn")(x)
        x = keras.layers.ReLU(name=f"conv{stage}_relu")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


SPEC = NetworkSpec(
    build=_build,
    pretrained_input=PretrainedInput((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 1, 2)),
    minimum_side=32,
    stages=("conv1_.*", "conv2_.*", "conv3_.*"),
    attention=("conv2_relu",),
    features={"stride4": "conv2_relu", "stride8": "conv3_relu"},
)


if __name__ == "__main__":
    from iris_tf.cli.app import main

    NETWORKS[NAME] = SPEC
    main()
