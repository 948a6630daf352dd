"""The embedding head: pooling, linear layer, batch normalisation, unit length."""

import keras
from keras import ops

from iris_tf.networks.seeding import layer_seed

POOLINGS = ("average", "depthwise", "placed")
_DECAY = 0.03  # a step: gone after a hundred, which features learn to do without


@keras.saving.register_keras_serializable(package="iris_tf")
class MeanDecay(keras.constraints.Constraint):
    """Takes a share of the mean over the columns from the weights of a pooling, at every step."""

    def __call__(self, w):
        """Weights of shape (height, width, channels, 1) after a step."""
        return w - _DECAY * ops.mean(w, axis=1, keepdims=True)


def embedding_head(
    features, embedding_size: int, pooling: str, batchnorm_momentum: float, seed: int
):
    """Put the head of MobiIris (Eq. 2) on a feature map.

    Linear layer (no bias: the normalisation after it has one), batch
    normalisation, L2 normalisation. Normalisations are computed in float32 under
    any dtype policy.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
        Output of the backbone.
    embedding_size : int
        D.
    pooling : {"average", "depthwise", "placed"}
        Global average pooling, as in the paper, or a weighted sum over positions
        with weights learned for each channel, which keeps where a feature was.
        Its weights begin as those of the average: a pretrained backbone starts
        out as it does in the paper, and as features differ from position to
        position, so do the gradients, which is all it takes to leave the average.
    batchnorm_momentum : float
        Of the moving mean and variance.
    seed : int
        Of the linear layer's initial weights; see `seeding.layer_seed`.

    Returns
    -------
    KerasTensor of shape (batch, D)
        float32, of unit length.
    """
    if pooling != "average":
        height, width = features.shape[1:3]
        x = keras.layers.DepthwiseConv2D(
            (height, width),
            use_bias=False,
            depthwise_initializer=keras.initializers.Constant(1.0 / (height * width)),
            depthwise_constraint=MeanDecay() if pooling == "placed" else None,
            name="head_pool",
        )(features)
        # Over a single position. Flatten would put shape arithmetic into the exported
        # graph, at which a TFLite delegate splits it in two.
        x = keras.layers.GlobalAveragePooling2D(name="head_flatten")(x)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(features)
    kernel = keras.initializers.GlorotUniform(seed=layer_seed(seed, "head_dense"))
    x = keras.layers.Dense(
        embedding_size, use_bias=False, kernel_initializer=kernel, name="head_dense"
    )(x)
    x = keras.layers.BatchNormalization(
        momentum=batchnorm_momentum, dtype="float32", name="head_batchnorm"
    )(x)
    return keras.layers.UnitNormalization(dtype="float32", name="head_unit_norm")(x)
