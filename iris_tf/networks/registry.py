"""The networks by name."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from iris_tf.support.errors import ModelError


@dataclass(frozen=True)
class PretrainedInput:
    """What a backbone's published ImageNet weights want to be fed.

    Attributes
    ----------
    mean, std : tuple of float
        Subtracted from, and divided by, for red, green, blue in 0..1.
    channels : tuple of int
        Where red, green and blue are in the order of the first kernel.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: tuple[int, int, int]


@dataclass(frozen=True)
class NetworkSpec:
    """What the rest of the library needs to know about one backbone.

    Attributes
    ----------
    build : callable
        ``build(input_tensor, weights) -> keras.Model``: the backbone without its
        classifier as a Functional model from the sources of `input_tensor`
        (batch, height, width, 3), ImageNet-normalised, to a feature map.
        `weights` is None, "imagenet", or the path of a weights file in the
        backbone's own format.
    pretrained_input : PretrainedInput
        Of the weights that `build` can load.
    minimum_side : int
        Smallest height and width, in pixels.
    stages : tuple of str
        Regular expressions on whole layer names, from the input side to the
        output side: the stages of gradual unfreezing. A layer with weights
        belongs to the first that it fits.
    attention : tuple of str
        Layers behind which spatial attention is usually put.
    """

    build: Callable[[object, str | None], keras.Model]
    pretrained_input: PretrainedInput
    minimum_side: int
    stages: tuple[str, ...]
    attention: tuple[str, ...]


def _mobilenet_v3_large(input_tensor, weights):
    return keras.applications.MobileNetV3Large(
        input_shape=tuple(input_tensor.shape[1:]),
        input_tensor=input_tensor,
        include_top=False,
        include_preprocessing=False,  # RoiNormalization does it
        weights=weights,
    )


def _resnet50(input_tensor, weights):
    return keras.applications.ResNet50(
        input_shape=tuple(input_tensor.shape[1:]),
        input_tensor=input_tensor,
        include_top=False,
        weights=weights,
    )


NETWORKS: dict[str, NetworkSpec] = {
    "mobilenet_v3_large": NetworkSpec(
        build=_mobilenet_v3_large,
        # Scaled to -1..1.
        pretrained_input=PretrainedInput((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 1, 2)),
        minimum_side=32,
        stages=(
            r"conv(_bn)?",
            r"expanded_conv_(depthwise|project).*",
            *(rf"expanded_conv_{block}_.*" for block in range(1, 15)),
            r"conv_1(_bn)?",
        ),
        attention=tuple(
            f"expanded_conv_{block}_squeeze_excite_mul" for block in (3, 4, 5, 10, 11, 12, 13, 14)
        ),
    ),
    "resnet50": NetworkSpec(
        build=_resnet50,
        # 0..255, blue first, means subtracted.
        pretrained_input=PretrainedInput(
            (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), (2, 1, 0)
        ),
        minimum_side=32,
        stages=tuple(rf"conv{stage}_.*" for stage in range(1, 6)),
        attention=("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
    ),
}


def network_spec(name: str) -> NetworkSpec:
    """Look a network up.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.

    Returns
    -------
    NetworkSpec

    Raises
    ------
    ModelError
        If there is none of that name; it names those that there are.
    """
    if name not in NETWORKS:
        raise ModelError(f"There is no network {name!r}; choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
