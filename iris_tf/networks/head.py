"""Embedding head: pooling, linear layer, batch normalisation, L2 normalisation."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from iris_tf.networks.seeding import layer_seed

_DECAY = 0.03  # per step: the mean vanishes within a hundred steps, and features adapt to that


@keras.saving.register_keras_serializable(package="iris_tf")
class MeanDecay(keras.constraints.Constraint):
    """Decays the mean over the columns of pooling weights at every step."""

    def __call__(self, w: Any) -> Any:
        """Constrain weights of shape (height, width, channels, 1) after a step."""
        return w - _DECAY * ops.mean(w, axis=1, keepdims=True)


def _average(features: Any, batchnorm_momentum: float) -> Any:
    """Global average pooling, as in the paper."""
    return keras.layers.GlobalAveragePooling2D(name="head_pool")(features)


def _depthwise(
    features: Any,
    batchnorm_momentum: float,
    constraint: keras.constraints.Constraint | None = None,
) -> Any:
    """Sum over positions with trainable weights per position and channel.

    Unlike average pooling, it preserves positions of features. The weights are initialised to the
    average, so that a pretrained backbone starts as in the paper. Their gradients differ between
    positions, because features do, so training can depart from the average.
    """
    height, width = features.shape[1:3]
    x = keras.layers.DepthwiseConv2D(
        (height, width),
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(1.0 / (height * width)),
        depthwise_constraint=constraint,
        name="head_pool",
    )(features)
    # Pools a single position. Flatten would add shape arithmetic to the exported graph,
    # at which a TFLite delegate splits the graph in two.
    return keras.layers.GlobalAveragePooling2D(name="head_flatten")(x)


def _placed(features: Any, batchnorm_momentum: float) -> Any:
    """Depthwise pooling without the mean over columns, which are the angle of unrolled strips."""
    return _depthwise(features, batchnorm_momentum, MeanDecay())


def _gdconv(features: Any, batchnorm_momentum: float) -> Any:
    """Global depthwise convolution of MobileFaceNet: depthwise pooling, then normalisation."""
    return keras.layers.BatchNormalization(
        momentum=batchnorm_momentum, dtype="float32", name="head_pool_batchnorm"
    )(_depthwise(features, batchnorm_momentum))


POOLING_LAYERS: dict[str, Callable[[Any, float], Any]] = {
    "average": _average,
    "depthwise": _depthwise,
    "placed": _placed,
    "gdconv": _gdconv,
}
"""Poolings by their names in recipes.

Each maps a feature map (batch, height, width, C), and the momentum of any batch normalisation of
its own, to (batch, C).
"""


def embedding_head(
    features: Any, embedding_size: int, pooling: str, batchnorm_momentum: float, seed: int
) -> Any:
    """Apply the head of MobiIris (Eq. 2) to a feature map.

    Pooling, a linear layer (no bias: the subsequent normalisation has one), batch
    normalisation, L2 normalisation. Normalisations are computed in float32 under
    any dtype policy.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
        Output of the backbone.
    embedding_size : int
        D.
    pooling : str
        A key of `POOLING_LAYERS`.
    batchnorm_momentum : float
        Momentum of the moving mean and variance.
    seed : int
        Seed of the linear layer's initial weights; see `seeding.layer_seed`.

    Returns
    -------
    KerasTensor of shape (batch, D)
        float32, unit length.
    """
    x = POOLING_LAYERS[pooling](features, batchnorm_momentum)
    kernel = keras.initializers.GlorotUniform(seed=layer_seed(seed, "head_dense"))
    x = keras.layers.Dense(
        embedding_size, use_bias=False, kernel_initializer=kernel, name="head_dense"
    )(x)
    x = keras.layers.BatchNormalization(
        momentum=batchnorm_momentum, dtype="float32", name="head_batchnorm"
    )(x)
    return keras.layers.UnitNormalization(dtype="float32", name="head_unit_norm")(x)
