"""Batch normalisation that trains in a single kernel."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="iris_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation of images, trained by TensorFlow's fused kernel.

    Keras composes a training step (mean, variance, scaling and all their gradients) from a
    dozen operations, each of which reads the whole feature map: a training step of
    MobileNetV3 then takes a third longer on a CPU. Weights, results and inference are those
    of Keras's layer.

    Takes and returns (batch, height, width, channels), channels last.
    """

    def build(self, input_shape: tuple) -> None:
        """Check that inputs are images with channels last, and that the kernel has all settings."""
        if len(input_shape) != 4 or self.axis not in (-1, 3):
            raise ValueError(f"FusedBatchNormalization needs channels last, not {input_shape}.")
        if not (self.center and self.scale) or self.renorm or self.synchronized:
            raise ValueError(
                "FusedBatchNormalization has center and scale, and neither renorm nor synchronized."
            )
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs`; in training by their own statistics, which update the layer's."""
        if not (training and self.trainable) or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's variance is the unbiased one, Keras's the mean of squares.
        values = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        variance *= (values - 1.0) / values
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs
