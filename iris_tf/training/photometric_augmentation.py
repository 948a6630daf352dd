"""Mirroring and colours of training crops."""

import tensorflow as tf

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as in OpenCV's conversion to grey


def flip_crops(images: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Mirror a share of the crops left to right.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, channels), float32
    seed : tensor of shape (2,), integer
    share : float
        Probability of each crop, 0..1.
    """
    chosen = tf.random.stateless_uniform((images.shape[0],), seed, alg="philox") < share
    return tf.where(chosen[:, None, None, None], images[:, :, ::-1], images)


def jitter_colours(images: tf.Tensor, seed: tf.Tensor, amount: float) -> tf.Tensor:
    """Change brightness, contrast and saturation of each crop at random.

    Each is multiplied by a factor of its own from ``1 - amount .. 1 + amount``, in this order:
    brightness scales pixels; contrast scales their distance to the crop's mean grey; saturation
    scales their distance to their own grey, and leaves grey crops as they are.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1 or 3), float32
        In 0..255; so is the result.
    seed : tensor of shape (2,), integer
    amount : float
        0..1.
    """
    factors = tf.random.stateless_uniform(
        (3, images.shape[0], 1, 1, 1), seed, 1.0 - amount, 1.0 + amount, alg="philox"
    )
    images = images * factors[0]
    mean = tf.reduce_mean(grey(images), axis=(1, 2), keepdims=True)
    images = mean + (images - mean) * factors[1]
    luma = grey(images)
    return tf.clip_by_value(luma + (images - luma) * factors[2], 0.0, 255.0)


def grey(images: tf.Tensor) -> tf.Tensor:
    """Luma (batch, height, width, 1) of crops (batch, height, width, 1 or 3)."""
    if images.shape[3] == 1:
        return images
    return tf.reduce_sum(images * tf.constant(_LUMA), axis=3, keepdims=True)
