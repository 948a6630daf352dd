"""Random changes of unrolled strips beside geometry: lids, lenses, noise, lost coarse detail."""

import tensorflow as tf

# These keep random numbers apart from those of `augmentation`.
_TURNING = 1 << 21
_COARSE = 1 << 25
_DETAILS = (3, 7)  # sides of the windows, in pixels, between which bands of detail lie
# What a poor camera takes of both bands, from and to, and its noise in grey levels, at most.
_BLURRED = ((0.3, 1.0), (0.0, 0.9))
_NOISE = 5.0
_COARSE_DETAILS = (9, 25)  # sides of the windows beyond which details count as coarse, in pixels
_TOGETHER = 0.6  # of the groups have one draw for all their strips


def with_turned(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Add to strips the same ones turned by a large angle: strangers of the same texture.

    What texture a whole population shares does not tell them apart; only where
    its details lie does. One angle, of 60 to 300 degrees, for all: each strip and
    its turned copy are left with what both can show, so that lids say nothing either.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii, the columns make one full turn; 0 where the iris is hidden.
    seed : tensor of shape (2,), integer

    Returns
    -------
    tensor of shape (2 * batch, height, width, 1), float32
        All strips, then all of them turned.
    """
    width = images.shape[2]
    turn = tf.random.stateless_uniform(
        (), seed + _TURNING, width // 6, width - width // 6 + 1, tf.int32, alg="philox"
    )
    turned = tf.roll(images, turn, axis=2)
    shown = (images > 0.0) & (turned > 0.0)
    return tf.where(tf.tile(shown, (2, 1, 1, 1)), tf.concat([images, turned], axis=0), 0.0)


def hide_sectors(
    images: tf.Tensor, seed: tf.Tensor, share: float, widest_degrees: float
) -> tf.Tensor:
    """Hide a sector of some strips, as a lid or a lock of hair does.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii, the columns make one full turn.
    seed : tensor of shape (2,), integer
    share : float
        Of the strips, 0..1.
    widest_degrees : float
        Widths are uniform up to this one, places and shares along the radius
        (from the limbus inwards, 0.3..1) uniform too.

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
    """Strengthen or weaken two bands of fine detail of each strip, as lenses and sensors do.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii, the columns make one full turn; 0 where the iris is hidden.
    seed : tensor of shape (2,), integer
    most : float
        Each band (details below 3, and 3 to 7 pixels) times 1 + a; a is uniform within
        ``-most..most``, for each strip and band by itself.

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
    """Blur some strips and add noise, as of a poor camera or an eye out of focus.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii, the columns make one full turn; 0 where the iris is hidden.
    seed : tensor of shape (2,), integer
    share : float
        Of the strips, 0..1. Each of them loses 30 to 100 % of its details below 3 pixels
        and 0 to 90 % of those of 3 to 7 pixels, and gains normal noise with a standard
        deviation of 0 to 5 grey levels, all uniform and by itself.

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


def lose_coarse(
    images: tf.Tensor, group_size: int, seed: tf.Tensor, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weaken what is coarse in some strips, so that fine detail must tell whose they are.

    Light, dilation and lids change what is coarse from day to day, and irises of many
    persons have little else than fine detail.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii, the columns make one full turn; 0 where the iris is hidden.
    group_size : int
        So many strips, one after the other, are of one identity; six groups of ten are
        changed alike or not at all.
    seed : tensor of shape (2,), integer
    share : float
        Of the strips, 0..1. Details of 9 to 25 pixels are multiplied with a number that is
        uniform within 0..1, larger ones with up to half of that.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
        Visible pixels within 1..255.
    tensor of shape (batch,), bool
        Which strips were changed.
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
    """Strips (batch, 1, columns, rows), and of them details below 3 pixels, and 3 to 7."""
    # Rows in the place of channels, where kernels compute side by side.
    strips = tf.transpose(images, (0, 3, 2, 1))
    fine, less_fine = _smoothed(strips, tf.cast(strips > 0.0, tf.float32), _DETAILS)
    return strips, strips - fine, fine - less_fine


def _smoothed(strips: tf.Tensor, visible: tf.Tensor, sides: tuple[int, ...]) -> list[tf.Tensor]:
    """Means of what is visible over windows of each side."""
    return [_smooth(strips, side) / tf.maximum(_smooth(visible, side), 1e-3) for side in sides]


def _still_visible(changed: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Grey levels within 1..255 where a strip was visible before a change, else 0."""
    return tf.where(before > 0.0, tf.clip_by_value(changed, 1.0, 255.0), 0.0)


def _smooth(strips: tf.Tensor, side: int) -> tf.Tensor:
    """Mean over a square window, twice, of (batch, 1, columns, rows), around along the angle."""
    margin = side - 1
    strips = tf.concat([strips[:, :, -margin:], strips, strips[:, :, :margin]], axis=2)
    for _ in "along columns", "along rows":
        for _ in range(2):
            strips = tf.nn.avg_pool2d(strips, (1, side), 1, "SAME")
        strips = tf.transpose(strips, (0, 1, 3, 2))
    return strips[:, :, margin:-margin]
