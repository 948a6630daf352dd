"""Registry of backbones.

To add one, write or import its function, register it in `NETWORKS`, and call the three checks of
``tests/network_checks.py``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from iris_tf.networks.inception_resnet_v1 import inception_resnet_v1, inception_resnet_v1_layer
from iris_tf.networks.mobilefacenet import mobilefacenet, mobilefacenet_layer
from iris_tf.networks.resnet18 import resnet18, resnet18_layer
from iris_tf.networks.roi_normalization import IMAGENET_MEAN, IMAGENET_STD
from iris_tf.support.errors import ModelError

Builder = Callable[[Any, str | None], keras.Model]
"""``build(input_tensor, weights)``: see `NetworkSpec.build`."""


@dataclass(frozen=True)
class PretrainedInput:
    """Input normalisation that a backbone's published ImageNet weights expect.

    Attributes
    ----------
    mean, std : tuple of float
        Mean to subtract and deviation to divide by, for red, green, blue in 0..1.
    channels : tuple of int
        Indices of red, green and blue in the first kernel.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    channels: tuple[int, int, int] = (0, 1, 2)


@dataclass(frozen=True)
class PublicCheckpoint:
    """How the public checkpoints of a network name its layers.

    Attributes
    ----------
    layer_name : callable
        Name of the layer, of backbone or head, that holds a module of the checkpoint.
    epsilon : float
        Epsilon of the checkpoint's batch normalisation.
    """

    layer_name: Callable[[str], str]
    epsilon: float


@dataclass(frozen=True)
class NetworkSpec:
    """Specification of a backbone.

    Attributes
    ----------
    build : callable
        ``build(input_tensor, weights) -> keras.Model``: builds the backbone without its
        classifier as a Functional model from the sources of `input_tensor`
        (batch, height, width, 3), ImageNet-normalised, to a feature map.
        `weights` is None, "imagenet", or the path of a weights file in the
        backbone's own format; always None without a `pretrained_input` or with a `checkpoint`.
    minimum_side : int
        Smallest height and width, in pixels.
    stages : tuple of str
        Stages of gradual unfreezing, from input to output: regular expressions that
        match full layer names. A layer with weights belongs to the first match.
    pretrained_input : PretrainedInput or None
        Input of the published weights; None if there are none.
    checkpoint : PublicCheckpoint or None
        Names in public checkpoints, for networks whose `build` does not load weights itself.
    attention : tuple of str
        Layers that spatial attention usually follows.
    features : mapping of str to str
        Layers of the feature maps available for distillation, by name of the map.
        ``stride8`` is the last one with an eighth of the input's height and width, or slightly
        less where convolutions do not pad.
    """

    build: Builder
    minimum_side: int
    stages: tuple[str, ...]
    pretrained_input: PretrainedInput | None = None
    checkpoint: PublicCheckpoint | None = None
    attention: tuple[str, ...] = ()
    features: Mapping[str, str] = field(default_factory=dict)


def _application(constructor: Callable[..., keras.Model], **settings: Any) -> Builder:
    """Builder of a network of keras.applications without its classifier."""

    def build(input_tensor: Any, weights: str | None) -> keras.Model:
        return constructor(
            input_shape=tuple(input_tensor.shape[1:]),
            input_tensor=input_tensor,
            include_top=False,
            weights=weights,
            **settings,
        )

    return build


def _strides(*layers: str) -> dict[str, str]:
    """Name feature maps at a quarter of the input size, an eighth, and so on."""
    return {f"stride{4 * 2**i}": layer for i, layer in enumerate(layers)}


def _squeeze_excite(*blocks: int) -> tuple[str, ...]:
    return tuple(f"expanded_conv_{block}_squeeze_excite_mul" for block in blocks)


# Inputs of -1..1.
_CENTRED = PretrainedInput((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Inputs of 0..255 in the order blue, green, red, with the means subtracted.
_CAFFE = PretrainedInput(
    (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), (2, 1, 0)
)

NETWORKS: dict[str, NetworkSpec] = {
    # MobileNets and EfficientNets: RoiNormalization replaces the built-in preprocessing.
    "mobilenet_v3_large": NetworkSpec(
        _application(keras.applications.MobileNetV3Large, include_preprocessing=False),
        minimum_side=32,
        stages=(
            r"conv(_bn)?",
            r"expanded_conv_(depthwise|project).*",
            *(rf"expanded_conv_{block}_.*" for block in range(1, 15)),
            r"conv_1(_bn)?",
        ),
        pretrained_input=_CENTRED,
        attention=_squeeze_excite(3, 4, 5, 10, 11, 12, 13, 14),
        features=_strides(*(f"expanded_conv_{block}_add" for block in (2, 5, 11, 14))),
    ),
    "resnet50": NetworkSpec(
        _application(keras.applications.ResNet50),
        minimum_side=32,
        stages=tuple(rf"conv{stage}_.*" for stage in range(1, 6)),
        pretrained_input=_CAFFE,
        attention=("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        features=_strides(
            "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"
        ),
    ),
    "mobilenet_v3_small": NetworkSpec(
        _application(keras.applications.MobileNetV3Small, include_preprocessing=False),
        minimum_side=32,
        stages=(
            r"conv(_bn)?",
            r"expanded_conv_(depthwise|squeeze_excite|project).*",
            *(rf"expanded_conv_{block}_.*" for block in range(1, 11)),
            r"conv_1(_bn)?",
        ),
        pretrained_input=_CENTRED,
        attention=("expanded_conv_squeeze_excite_mul", *_squeeze_excite(*range(3, 11))),
        features=_strides(
            "expanded_conv_project_bn", *(f"expanded_conv_{block}_add" for block in (2, 7, 10))
        ),
    ),
    "efficientnet_v2_b0": NetworkSpec(
        _application(keras.applications.EfficientNetV2B0, include_preprocessing=False),
        minimum_side=32,
        stages=(r"stem_.*", *(rf"block{stage}.*" for stage in range(1, 7)), r"top_.*"),
        pretrained_input=PretrainedInput(),
        attention=tuple(
            f"block{stage}{block}_se_excite"
            for stage, blocks in ((4, "abc"), (5, "abcde"), (6, "abcdefgh"))
            for block in blocks
        ),
        features=_strides("block2b_add", "block3b_add", "block5e_add", "block6h_add"),
    ),
    "mobilefacenet": NetworkSpec(
        mobilefacenet,
        minimum_side=32,
        stages=(
            r"conv1_.*",
            r"conv2_dw_.*",
            r"conv_23_.*",
            *(rf"conv_{row}_.*" for row in ("3", "34", "4", "45", "5", "6_sep")),
        ),
        pretrained_input=_CENTRED,
        checkpoint=PublicCheckpoint(mobilefacenet_layer, epsilon=1e-5),
        attention=("conv_3_model_3_add", "conv_4_model_5_add", "conv_5_model_1_add"),
        features=_strides("conv_3_model_3_add", "conv_4_model_5_add", "conv_6_sep_prelu"),
    ),
    "resnet18": NetworkSpec(
        resnet18,
        minimum_side=32,
        stages=(r"stem_.*", *(rf"layer{stage}_.*" for stage in range(1, 5))),
        pretrained_input=PretrainedInput(),
        checkpoint=PublicCheckpoint(resnet18_layer, epsilon=1e-5),
        attention=tuple(f"layer{stage}_1_out" for stage in range(1, 5)),
        features=_strides(*(f"layer{stage}_1_out" for stage in range(1, 5))),
    ),
    "inception_resnet_v1": NetworkSpec(
        inception_resnet_v1,
        minimum_side=75,
        stages=(
            r"Conv2d_.*",
            r"Block35_.*",
            r"Mixed_6a_.*",
            r"Block17_.*",
            r"(Mixed_7a|Block8)_.*",
        ),
        pretrained_input=PretrainedInput((127.5 / 255,) * 3, (128 / 255,) * 3),
        checkpoint=PublicCheckpoint(inception_resnet_v1_layer, epsilon=1e-3),
        attention=("Block35_5_Activation", "Block17_10_Activation", "Block8_6_add"),
        features=_strides(
            "Conv2d_4a_3x3_Activation",
            "Block35_5_Activation",
            "Block17_10_Activation",
            "Block8_6_add",
        ),
    ),
}


def network_spec(name: str) -> NetworkSpec:
    """Look up a network.

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
        If there is no network of this name; lists the available ones.
    """
    if name not in NETWORKS:
        raise ModelError(f"There is no network {name!r}; choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
