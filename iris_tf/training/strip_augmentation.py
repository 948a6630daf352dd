"""Augmentation of unrolled strips besides geometry: occlusion, sharpness, noise, frequencies."""

import tensorflow as tf

# Seed offsets, so that these random numbers are independent of those of `augmentation`.
_TURNING = 1 << 21
_COARSE = 1 << 25
_DETAILS = (3, 7)  # window sides, in pixels, that separate the bands of high frequencies
# Degradation: range of the share lost of each band, and the highest noise in grey levels.
_BLURRED = ((0.3, 1.0), (0.0, 0.9))
_NOISE = 5.0
_COARSE_DETAILS = (9, 25)  # window sides, in pixels, that separate the bands of low frequencies
_TOGETHER = 0.6  # share of the groups with the same amounts for all their strips


def with_rotated(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Append copies of all strips, rotated by a large angle, as further identities.

    A strip and its rotated copy have the same kind of texture and can only be
    distinguished by the positions of details. One angle, of 60 to 300 degrees, is
    drawn for all strips. Both are masked to the pixels that are visible in both, so
    that eyelids do not distinguish them either.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii; the columns span 360 degrees; 0 where the iris is hidden.
    seed : tensor of shape (2,), integer

    Returns
    -------
    tensor of shape (2 * batch, height, width, 1), float32
        All strips, followed by all rotated strips.
    """
    width = images.shape[2]
    shift = tf.random.stateless_uniform(
        (), seed + _TURNING, width // 6, width - width // 6 + 1, tf.int32, alg="philox"
    )
    rotated = tf.roll(images, shift, axis=2)
    visible = (images > 0.0) & (rotated > 0.0)
    return tf.where(tf.tile(visible, (2, 1, 1, 1)), tf.concat([images, rotated], axis=0), 0.0)


def hide_sectors(
    images: tf.Tensor, seed: tf.Tensor, share: float, widest_degrees: float
) -> tf.Tensor:
    """Mask a sector of some strips, as an eyelid or a strand of hair does.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii; the columns span 360 degrees.
    seed : tensor of shape (2,), integer
    share : float
        Share of strips that are occluded, 0..1.
    widest_degrees : float
        Largest width of a sector. Widths, positions and depths (from the limbus
        inwards, 0.3..1 of the radius) are uniform.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
    """
    batch, height, width, _ = images.shape
    amounts = tf.random.stateless_uniform((batch, 4), seed, alg="philox")
    centre, extent = amounts[:, 0:1] * width, amounts[:, 1:2] * widest_degrees * (width / 360)
    half = tf.where(amounts[:, 2:3] < share, extent / 2, -1.0)
    columns = tf.range(width, dtype=tf.float32)[None]
    aside = tf.abs(tf.math.floormod(columns - centre + width / 2, float(width)) - width / 2)
    depth = (0.3 + 0.7 * amounts[:, 3:4]) * height
    rows = tf.range(height, dtype=tf.float32)[None] >= height - depth
    hidden = rows[:, :, None] & (aside <= half)[:, None, :]
    return tf.where(hidden[..., None], 0.0, images)


def sharpen_strips(images: tf.Tensor, seed: tf.Tensor, most: float) -> tf.Tensor:
    """Amplify or attenuate two bands of high spatial frequencies, as lenses and sensors do.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii; the columns span 360 degrees; 0 where the iris is hidden.
    seed : tensor of shape (2,), integer
    most : float
        Each band (details below 3, and of 3 to 7 pixels) is scaled by 1 + a, with a
        uniform in ``-most..most``, independently for each strip and band.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
        Visible pixels within 1..255.
    """
    amounts = most * tf.random.stateless_uniform(
        (images.shape[0], 2, 1, 1, 1), seed, minval=-1.0, maxval=1.0, alg="philox"
    )
    strips, finest, finer = _bands(images)
    changed = strips + amounts[:, 0] * finest + amounts[:, 1] * finer
    return tf.transpose(_still_visible(changed, strips), (0, 3, 2, 1))


def degrade_strips(images: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Blur some strips and add noise, as from a low-quality camera or defocus.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii; the columns span 360 degrees; 0 where the iris is hidden.
    seed : tensor of shape (2,), integer
    share : float
        Share of strips that are degraded, 0..1. Each loses 30 to 100 % of its details
        below 3 pixels and 0 to 90 % of those of 3 to 7 pixels, and gets Gaussian noise
        with a standard deviation of 0 to 5 grey levels; all amounts are uniform and
        independent.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
        Visible pixels within 1..255.
    """
    batch = images.shape[0]
    amounts = tf.random.stateless_uniform((batch, 4, 1, 1, 1), seed, alg="philox")
    lost = [low + (high - low) * amounts[:, k] for k, (low, high) in enumerate(_BLURRED)]
    noise = tf.random.stateless_normal(images.shape, seed + 1, alg="philox")
    strips, finest, finer = _bands(images)
    changed = strips - lost[0] * finest - lost[1] * finer
    changed += _NOISE * amounts[:, 2] * tf.transpose(noise, (0, 3, 2, 1))
    changed = tf.where(amounts[:, 3] < share, _still_visible(changed, strips), strips)
    return tf.transpose(changed, (0, 3, 2, 1))


def weaken_low_frequencies(
    images: tf.Tensor, group_size: int, seed: tf.Tensor, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Attenuate low spatial frequencies of some strips, so that the network relies on high ones.

    Low frequencies vary from day to day with illumination, dilation and eyelids, and the irises
    of many subjects have few of them.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii; the columns span 360 degrees; 0 where the iris is hidden.
    group_size : int
        Number of consecutive strips of one identity. In 60 % of the groups, all strips are
        changed by the same amounts or none is.
    seed : tensor of shape (2,), integer
    share : float
        Share of strips that are changed, 0..1. Details of 9 to 25 pixels are multiplied by a
        factor uniform in 0..1, larger ones by up to half of that factor.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
        Visible pixels within 1..255.
    tensor of shape (batch,), bool
        Whether each strip was changed.
    """
    batch = images.shape[0]
    together, groups, own = (
        tf.random.stateless_uniform((3, count), seed + _COARSE + k, alg="philox")
        for k, count in enumerate((batch // group_size, batch // group_size, batch))
    )
    together = tf.repeat(together[0] < _TOGETHER, group_size)
    drawn, middle, coarse = tf.unstack(
        tf.where(together, tf.repeat(groups, group_size, axis=1), own)
    )
    lost = drawn < share
    strips = tf.transpose(images, (0, 3, 2, 1))
    visible = tf.cast(strips > 0.0, tf.float32)
    less_fine, coarsest = _smoothed(strips, visible, _COARSE_DETAILS)
    mean = tf.reduce_sum(strips, (1, 2, 3), keepdims=True) / tf.maximum(
        tf.reduce_sum(visible, (1, 2, 3), keepdims=True), 1.0
    )
    middle, coarse, changes = (x[:, None, None, None] for x in (middle, coarse, lost))
    changed = strips - less_fine + mean + middle * (less_fine - coarsest)
    changed += 0.5 * coarse * middle * (coarsest - mean)
    changed = tf.where(changes, _still_visible(changed, strips), strips)
    return tf.transpose(changed, (0, 3, 2, 1)), lost


def _bands(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Strips (batch, 1, columns, rows), and their details below 3 and of 3 to 7 pixels."""
    # Rows take the place of channels, over which kernels are vectorised.
    strips = tf.transpose(images, (0, 3, 2, 1))
    fine, less_fine = _smoothed(strips, tf.cast(strips > 0.0, tf.float32), _DETAILS)
    return strips, strips - fine, fine - less_fine


def _smoothed(strips: tf.Tensor, visible: tf.Tensor, sides: tuple[int, ...]) -> list[tf.Tensor]:
    """Means of the visible pixels over windows of each side."""
    return [_smooth(strips, side) / tf.maximum(_smooth(visible, side), 1e-3) for side in sides]


def _still_visible(changed: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Clip to 1..255 where a strip was visible before the change; 0 elsewhere."""
    return tf.where(before > 0.0, tf.clip_by_value(changed, 1.0, 255.0), 0.0)


def _smooth(strips: tf.Tensor, side: int) -> tf.Tensor:
    """Box filter, applied twice, of (batch, 1, columns, rows), circular along the angle."""
    margin = side - 1
    strips = tf.concat([strips[:, :, -margin:], strips, strips[:, :, :margin]], axis=2)
    for _ in "along columns", "along rows":
        for _ in range(2):
            strips = tf.nn.avg_pool2d(strips, (1, side), 1, "SAME")
        strips = tf.transpose(strips, (0, 1, 3, 2))
    return strips[:, :, margin:-margin]
