"""Building blocks that the project's own backbones share."""

from typing import Any

from keras import layers


def padded_convolution(
    x: Any,
    filters: int,
    kernel: int,
    name: str,
    strides: int = 1,
    depthwise: bool = False,
    epsilon: float = 1e-5,
) -> Any:
    """Apply a convolution without bias, then batch normalisation.

    With strides, the padding is the same on all sides, as in PyTorch, where Keras's "same" pads
    right and bottom only: published PyTorch weights then give the published outputs.

    Parameters
    ----------
    x : KerasTensor of shape (batch, height, width, channels)
    filters : int
        Output channels; ignored by a depthwise convolution.
    kernel : int
        Side of the kernel, odd.
    name : str
        Names the layers ``<name>_conv`` and ``<name>_bn``.
    strides : int
    depthwise : bool
    epsilon : float
        Of the batch normalisation; by default PyTorch's.
    """
    padding = "same"
    if strides > 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    settings: dict[str, Any] = {
        "strides": strides, "padding": padding, "use_bias": False, "name": f"{name}_conv",
    }  # fmt: skip
    if depthwise:
        x = layers.DepthwiseConv2D(kernel, **settings)(x)
    else:
        x = layers.Conv2D(filters, kernel, **settings)(x)
    return layers.BatchNormalization(epsilon=epsilon, name=f"{name}_bn")(x)
