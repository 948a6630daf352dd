"""ResNet-18 (He et al., 2016) without its classifier."""

import re
from typing import Any

import keras
from keras import layers

from iris_tf.networks.convolution import padded_convolution

_FILTERS = (64, 128, 256, 512)

_RENAMED = (
    (r"^(conv|bn)1$", r"stem_\1"),
    (r"downsample\.0$", "downsample_conv"),
    (r"downsample\.1$", "downsample_bn"),
    (r"(conv|bn)(\d)$", r"\2_\1"),
)


def resnet18(input_tensor: Any, weights: str | None = None) -> keras.Model:
    """Build ResNet-18 with its standard stem, a 7x7 convolution and maximum pooling.

    The variants of the ArcFace literature keep the resolution in the stem instead, at four times
    the cost. Layer names are torchvision's, with underscores.

    Parameters
    ----------
    input_tensor : KerasTensor of shape (batch, height, width, 3)
    weights : None
        Public weights are loaded by `iris_tf.networks.public_checkpoints`.

    Returns
    -------
    keras.Model
        Output of shape (batch, height / 32, width / 32, 512).
    """
    x = padded_convolution(input_tensor, 64, 7, "stem", strides=2)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # after ReLU, 0 is the least value
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, filters in enumerate(_FILTERS, start=1):
        for block in range(2):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _basic_block(x, filters, strides, f"layer{stage}_{block}")
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def resnet18_layer(module: str) -> str:
    """Name the layer that holds a module of torchvision's ResNet-18, such as ``layer1.0.bn1``."""
    for pattern, replacement in _RENAMED:
        module = re.sub(pattern, replacement, module)
    return module.replace(".", "_")


def _basic_block(x: Any, filters: int, strides: int, name: str) -> Any:
    y = padded_convolution(x, filters, 3, f"{name}_1", strides)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = padded_convolution(y, filters, 3, f"{name}_2")
    if strides > 1:
        x = padded_convolution(x, filters, 1, f"{name}_downsample", strides)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))
