"""Inception-ResNet-v1 as FaceNet's public models have it, without its head."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

_EPSILON = 1e-3  # of the published models, in TensorFlow and in PyTorch

_STEM = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3", "4b_3x3")
_STEM_FILTERS = (32, 32, 64, 80, 192, 256)
_STRIDED = ("1a_3x3", "4b_3x3")

# Convolutions of each branch by their published names, which end with the kernel's height and
# width. In reductions, "1a" has strides of 2.
_BLOCK35 = (("1x1",), ("0a_1x1", "0b_3x3"), ("0a_1x1", "0b_3x3", "0c_3x3"))
_BLOCK17 = (("1x1",), ("0a_1x1", "0b_1x7", "0c_7x1"))
_BLOCK8 = (("1x1",), ("0a_1x1", "0b_1x3", "0c_3x1"))
_MIXED_6A = (("1a_3x3",), ("0a_1x1", "0b_3x3", "1a_3x3"))
_MIXED_7A = (("0a_1x1", "1a_3x3"), ("0a_1x1", "1a_3x3"), ("0a_1x1", "0b_3x3", "1a_3x3"))

_FILTERS_6A = ((384,), (192, 192, 256))
_FILTERS_7A = ((256, 384), (256, 256), (256, 256, 256))

# Kind, its branches, filters of all their convolutions, number of blocks, scale of the residual,
# name in PyTorch.
_RESIDUAL = (
    ("Block35", _BLOCK35, 32, 5, 0.17, "repeat_1"),
    ("Block17", _BLOCK17, 128, 10, 0.10, "repeat_2"),
    ("Block8", _BLOCK8, 192, 5, 0.20, "repeat_3"),
)


def inception_resnet_v1(input_tensor: Any, weights: str | None = None) -> keras.Model:
    """Build Inception-ResNet-v1 (Szegedy et al., 2017) with the filters of FaceNet's models.

    Stem and reductions do not pad, so feature maps are a few positions smaller than the input
    divided by their strides. With ``embedding_size: 512`` it has 23.5 million parameters.

    Parameters
    ----------
    input_tensor : KerasTensor of shape (batch, height, width, 3)
        At least 75x75; FaceNet's is 160x160.
    weights : None
        Public weights are loaded by `iris_tf.networks.public_checkpoints`.

    Returns
    -------
    keras.Model
        Output of 1792 channels, 3x3 for 160x160.
    """
    x = input_tensor
    for name, filters in zip(_STEM, _STEM_FILTERS, strict=True):
        x = _convolution(
            x, filters, f"Conv2d_{name}", 2 if name in _STRIDED else 1, name == "2b_3x3"
        )
        if name == "2b_3x3":
            x = layers.MaxPooling2D(3, 2, name="MaxPool_3a_3x3")(x)
    reductions = (("Mixed_6a", _MIXED_6A, _FILTERS_6A), ("Mixed_7a", _MIXED_7A, _FILTERS_7A), None)
    for (kind, branches, filters, blocks, scale, _), then in zip(
        _RESIDUAL, reductions, strict=True
    ):
        for number in range(1, blocks + 1):
            x = _residual(x, branches, filters, scale, f"{kind}_{number}")
            x = layers.ReLU(name=f"{kind}_{number}_Activation")(x)
        if then:
            x = _reduction(x, *then)
    x = _residual(x, _BLOCK8, 192, 1.0, "Block8_6")
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def inception_resnet_v1_layer(module: str) -> str:
    """Name the layer that holds a module of a public FaceNet model.

    Parameters
    ----------
    module : str
        Of the Keras models (``Block35_1_Branch_0_Conv2d_1x1``; deepface numbers the second branch
        of later blocks after the block) or of facenet-pytorch (``repeat_1.0.branch0.conv``).
    """
    return _PUBLIC_NAMES.get(module, module)


def _convolution(x: Any, filters: int, name: str, strides: int = 1, padded: bool = False) -> Any:
    kernel = tuple(int(side) for side in name.rsplit("_", 1)[1].split("x"))
    padding = "same" if padded else "valid"
    x = layers.Conv2D(filters, kernel, strides, padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_BatchNorm")(x)
    return layers.ReLU(name=f"{name}_Activation")(x)


def _residual(x: Any, branches: tuple, filters: int, scale: float, name: str) -> Any:
    outputs = []
    for number, convolutions in enumerate(branches):
        y = x
        for convolution in convolutions:
            y = _convolution(y, filters, _branch_layer(name, number, convolution), padded=True)
        outputs.append(y)
    y = layers.Concatenate(name=f"{name}_Concatenate")(outputs)
    y = layers.Conv2D(x.shape[-1], 1, name=f"{name}_Conv2d_1x1")(y)
    if scale != 1.0:
        y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _reduction(x: Any, name: str, branches: tuple, filters: tuple) -> Any:
    outputs = []
    for number, (convolutions, widths) in enumerate(zip(branches, filters, strict=True)):
        y = x
        for convolution, width in zip(convolutions, widths, strict=True):
            strided = convolution.startswith("1a")
            own = _branch_layer(name, number, convolution)
            y = _convolution(y, width, own, 2 if strided else 1, padded=not strided)
        outputs.append(y)
    outputs.append(layers.MaxPooling2D(3, 2, name=f"{name}_MaxPool_1a_3x3")(x))
    return layers.Concatenate(name=name)(outputs)


def _branch_layer(block: str, branch: int, convolution: str) -> str:
    return f"{block}_Branch_{branch}_Conv2d_{convolution}"


def _public_names() -> dict[str, str]:
    """Layer names by the modules of public models, where they differ."""
    names = {
        "Bottleneck": "head_dense",
        "Bottleneck_BatchNorm": "head_batchnorm",
        "last_linear": "head_dense",
        "last_bn": "head_batchnorm",
    }
    pairs = [(f"conv2d_{name[:2]}", f"Conv2d_{name}") for name in _STEM]
    pairs += _branch_names("mixed_6a", "Mixed_6a", _MIXED_6A)
    pairs += _branch_names("mixed_7a", "Mixed_7a", _MIXED_7A)
    blocks = [
        (f"{torch}.{number}", f"{kind}_{number + 1}", branches)
        for kind, branches, _, count, _, torch in _RESIDUAL
        for number in range(count)
    ]
    for torch, block, branches in [*blocks, ("block8", "Block8_6", _BLOCK8)]:
        names[f"{torch}.conv2d"] = f"{block}_Conv2d_1x1"
        pairs += _branch_names(torch, block, branches)
        number = block.rsplit("_", 1)[1]
        for convolution in branches[1] if len(branches) == 2 else ():
            own = _branch_layer(block, 1, convolution)
            deepface = own.replace("Branch_1", f"Branch_{number}")
            names[deepface], names[f"{deepface}_BatchNorm"] = own, f"{own}_BatchNorm"
    for torch, layer in pairs:
        names[f"{torch}.conv"], names[f"{torch}.bn"] = layer, f"{layer}_BatchNorm"
    return names


def _branch_names(torch: str, block: str, branches: tuple) -> Iterator[tuple[str, str]]:
    """Modules of facenet-pytorch and layers of all convolutions of a block."""
    for branch, convolutions in enumerate(branches):
        for place, convolution in enumerate(convolutions):
            index = f".{place}" if len(convolutions) > 1 else ""
            yield f"{torch}.branch{branch}{index}", _branch_layer(block, branch, convolution)


_PUBLIC_NAMES = _public_names()
