"""MobileFaceNet (Chen et al., 2018, Table 1) without its head."""

from typing import Any

import keras
from keras import layers

from iris_tf.networks.convolution import padded_convolution

# Name in public checkpoints, expansion, output channels, number of blocks, strides of the first
# one. The paper lists a strided block and the residual ones after it as one row.
_ROWS = (
    ("conv_23", 2, 64, 1, 2),
    ("conv_3_model", 2, 64, 4, 1),
    ("conv_34", 4, 128, 1, 2),
    ("conv_4_model", 2, 128, 6, 1),
    ("conv_45", 4, 128, 1, 2),
    ("conv_5_model", 2, 128, 2, 1),
)

_HEAD_LAYERS = {
    "conv_6_dw.conv": "head_pool",
    "conv_6_dw.bn": "head_pool_batchnorm",
    "linear": "head_dense",
    "bn": "head_batchnorm",
}


def mobilefacenet(input_tensor: Any, weights: str | None = None) -> keras.Model:
    """Build MobileFaceNet up to its last 1x1 convolution.

    A quarter of the input's resolution is reached after three layers, a sixteenth at the end (7x7
    of 112x112). PReLU has one slope per channel. With ``pooling: gdconv`` and 128 dimensions at
    112x112 the whole network has 1.00 million parameters, or the paper's 0.99 once the batch
    normalisation is folded into the convolutions.

    Parameters
    ----------
    input_tensor : KerasTensor of shape (batch, height, width, 3)
    weights : None
        Public weights are loaded by `iris_tf.networks.public_checkpoints`.

    Returns
    -------
    keras.Model
        Output of shape (batch, height / 16, width / 16, 512).
    """
    x = _activated(input_tensor, 64, 3, "conv1", strides=2)
    x = _activated(x, 64, 3, "conv2_dw", depthwise=True)
    for name, expansion, filters, blocks, strides in _ROWS:
        for block in range(blocks):
            own = f"{name}_{block}" if name.endswith("model") else name
            x = _bottleneck(x, expansion, filters, strides, own)
    x = _activated(x, 512, 1, "conv_6_sep")
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def mobilefacenet_layer(module: str) -> str:
    """Name the layer that holds a module of InsightFace_Pytorch's MobileFaceNet.

    Parameters
    ----------
    module : str
        Name in its state dictionary without the parameter, such as ``conv_3.model.0.conv_dw.bn``.
    """
    return _HEAD_LAYERS.get(module, module.replace(".", "_"))


def _activated(x: Any, filters: int, kernel: int, name: str, **settings: Any) -> Any:
    x = padded_convolution(x, filters, kernel, name, **settings)
    slopes = keras.initializers.Constant(0.25)  # PyTorch's, where the published weights are from
    return layers.PReLU(slopes, shared_axes=[1, 2], name=f"{name}_prelu")(x)


def _bottleneck(x: Any, expansion: int, filters: int, strides: int, name: str) -> Any:
    """Inverted residual block: expand, filter by channel, project without activation."""
    y = _activated(x, expansion * x.shape[-1], 1, f"{name}_conv")
    y = _activated(y, 0, 3, f"{name}_conv_dw", strides=strides, depthwise=True)
    y = padded_convolution(y, filters, 1, f"{name}_project")
    return layers.Add(name=f"{name}_add")([x, y]) if strides == 1 else y
