"""Augmentation of training crops: random geometry, and further augmentation of strips."""

import math

import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.training.photometric_augmentation import flip_crops, jitter_colours
from iris_tf.training.strip_augmentation import degrade_strips, hide_sectors, sharpen_strips

# Seed offsets, so that these random numbers are independent of those of the geometry.
_HIDING = 1 << 20
_SHARPENING = 1 << 23
_DEGRADING = 1 << 24
_FLIPPING = 1 << 25
_JITTERING = 1 << 26


def augment(
    images: tf.Tensor, seed: tf.Tensor, settings: AugmentationRecipe, roi_mode: str
) -> tf.Tensor:
    """Rotate, shift, scale, mirror and recolour each image at random; degrade strips.

    Crops are rotated about their centres. In an ``unrolled`` strip, a rotation of
    the eye is a circular shift along the angle; translation and scaling act on the
    radius only. Pixels from outside the image are 0, like masked pixels.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        With a static shape.
    seed : tensor of shape (2,), integer
        The result is determined by the seed on all devices.
    settings : AugmentationRecipe
        Ranges of the uniform amounts, the same along both axes.
    roi_mode : str
        Name of the ROI mode that made the crops.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
        Bilinear interpolation (in strips, between visible pixels only) within the
        range of the input; sharpened and degraded strips are within 0..255.
    """
    if roi_mode == "unrolled":
        if settings.hidden_share:
            images = hide_sectors(
                images, seed + _HIDING, settings.hidden_share, settings.hidden_degrees
            )
        if settings.sharpness:
            images = sharpen_strips(images, seed + _SHARPENING, settings.sharpness)
        if settings.degraded_share:
            images = degrade_strips(images, seed + _DEGRADING, settings.degraded_share)
    if settings.flip_share:
        images = flip_crops(images, seed + _FLIPPING, settings.flip_share)
    if settings.colour_jitter:
        images = jitter_colours(images, seed + _JITTERING, settings.colour_jitter)
    if not (settings.rotation_degrees or settings.translation or settings.scale):
        return images
    # Philox is set explicitly, because the default algorithm depends on the device.
    amounts = tf.random.stateless_uniform(
        (images.shape[0], 4), seed, minval=-1.0, maxval=1.0, alg="philox"
    )
    degrees = amounts[:, 0] * settings.rotation_degrees
    factors = 1.0 + amounts[:, 1] * settings.scale
    down = amounts[:, 2] * settings.translation * images.shape[1]
    right = amounts[:, 3] * settings.translation * images.shape[2]
    if roi_mode == "unrolled":
        return warp_strips(images, degrees, factors, down, settings.rotation_degrees)
    return warp_crops(images, degrees, factors, down, right)


def warp_crops(
    images: tf.Tensor, degrees: tf.Tensor, factors: tf.Tensor, down: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Rotate and scale crops about their centres, then translate them.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
    degrees : tensor of shape (batch,), float32
        Counterclockwise on screen.
    factors : tensor of shape (batch,), float32
        Scale factors; above 1 enlarges.
    down, right : tensor of shape (batch,), float32
        Translation in pixels.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
    """
    _, height, width, _ = images.shape
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    radians = degrees * (math.pi / 180)
    cos, sin = tf.cos(radians) / factors, tf.sin(radians) / factors
    # The operation takes the inverse transform, from output to input coordinates.
    x0, y0 = centre_x + right, centre_y + down
    return _transform(
        images,
        [cos, -sin, centre_x - cos * x0 + sin * y0, sin, cos, centre_y - sin * x0 - cos * y0],
    )


def warp_strips(
    images: tf.Tensor,
    degrees: tf.Tensor,
    factors: tf.Tensor,
    down: tf.Tensor,
    largest_degrees: float,
) -> tf.Tensor:
    """Shift unrolled strips circularly along the angle; scale and shift them along the radius.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii; the columns span 360 degrees.
    degrees : tensor of shape (batch,), float32
        Rotation of the eye; positive to the right in the strip.
    factors : tensor of shape (batch,), float32
        Scale along the radius about the middle row; above 1 enlarges.
    down : tensor of shape (batch,), float32
        Shift along the radius, in rows.
    largest_degrees : float
        Upper bound of the absolute rotation.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
    """
    _, height, width, _ = images.shape
    # Pad both ends circularly by the largest possible shift.
    margin = math.ceil(width * largest_degrees / 360) + 1
    images = tf.concat([images[:, :, -margin:], images, images[:, :, :margin]], axis=2)
    centre = (height - 1) / 2
    zero = tf.zeros_like(degrees)
    shift = margin - degrees * (width / 360)
    # Masked pixels are 0. Interpolating with them would darken the edges of eyelids.
    visible = tf.cast(images > 0.0, tf.float32)
    both = _transform(
        tf.concat([images, visible], axis=-1),
        [zero + 1, zero, shift, zero, 1 / factors, centre - (centre + down) / factors],
        width,
    )
    value, weight = tf.split(both, 2, axis=-1)
    return tf.where(weight >= 0.5, value / tf.maximum(weight, 0.5), 0.0)


def _transform(
    images: tf.Tensor, coefficients: list[tf.Tensor], width: int | None = None
) -> tf.Tensor:
    batch, height, full_width, channels = images.shape
    width = width or full_width
    zero = tf.zeros_like(coefficients[0])
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*coefficients, zero, zero], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(result, (batch, height, width, channels))
