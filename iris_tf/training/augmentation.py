"""Random geometry of crops; what else is changed in strips: detail, sectors, turns."""

import math

import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe

# These keep random numbers apart from those of the geometry.
_HIDING = 1 << 20
_TURNING = 1 << 21
_SHARPENING = 1 << 23
_DEGRADING = 1 << 24
_COARSE = 1 << 25
_DETAILS = (3, 7)  # sides of the windows, in pixels, between which bands of detail lie
# What a poor camera takes of both bands, from and to, and its noise in grey levels, at most.
_BLURRED = ((0.3, 1.0), (0.0, 0.9))
_NOISE = 5.0
_COARSE_DETAILS = (9, 25)  # sides of the windows beyond which details count as coarse, in pixels
_TOGETHER = 0.6  # of the groups have one draw for all their strips


def augment(
    images: tf.Tensor, seed: tf.Tensor, settings: AugmentationRecipe, roi_mode: str
) -> tf.Tensor:
    """Rotate, shift and scale each image by amounts of its own; hide, sharpen, degrade strips.

    Crops are turned about their centre. In an ``unrolled`` strip a rotation of
    the eye is a circular shift along the angle; shift and scale change the
    radius only. What comes in from outside is 0, like masked pixels.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        With a static shape.
    seed : tensor of shape (2,), integer
        The same seed gives the same result on any device.
    settings : AugmentationRecipe
        Ranges; the amounts are uniform within them, the same along both axes.
    roi_mode : str
        Name of the ROI mode that made the crops.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
        Interpolated bilinearly, in strips between visible pixels only, within the
        range of the input; sharpened and degraded strips within 0..255.
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
    if not (settings.rotation_degrees or settings.translation or settings.scale):
        return images
    # Philox by name, because the default algorithm depends on the device.
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


def warp_crops(
    images: tf.Tensor, degrees: tf.Tensor, factors: tf.Tensor, down: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Turn and scale crops about their centres, then shift them.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
    degrees : tensor of shape (batch,), float32
        Anticlockwise as seen on the screen.
    factors : tensor of shape (batch,), float32
        Above 1 enlarges.
    down, right : tensor of shape (batch,), float32
        Pixels.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
    """
    _, height, width, _ = images.shape
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    radians = degrees * (math.pi / 180)
    cos, sin = tf.cos(radians) / factors, tf.sin(radians) / factors
    # The operation asks which input point each output point shows: the inverse map.
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
    """Shift unrolled strips around along the angle; scale and shift them along the radius.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, 1), float32
        Rows are radii, the columns make one full turn.
    degrees : tensor of shape (batch,), float32
        Rotation of the eye, to the right in the strip.
    factors : tensor of shape (batch,), float32
        Scale along the radius about the middle row; above 1 enlarges.
    down : tensor of shape (batch,), float32
        Shift along the radius, in rows.
    largest_degrees : float
        No rotation is larger, either way.

    Returns
    -------
    tensor of shape (batch, height, width, 1), float32
    """
    _, height, width, _ = images.shape
    # The strip is continued at both ends by as much as can come into view.
    margin = math.ceil(width * largest_degrees / 360) + 1
    images = tf.concat([images[:, :, -margin:], images, images[:, :, :margin]], axis=2)
    centre = (height - 1) / 2
    zero = tf.zeros_like(degrees)
    shift = margin - degrees * (width / 360)
    # Hidden pixels are 0. Interpolating with them would draw dark edges around lids.
    visible = tf.cast(images > 0.0, tf.float32)
    both = _transform(
        tf.concat([images, visible], axis=-1),
        [zero + 1, zero, shift, zero, 1 / factors, centre - (centre + down) / factors],
        width,
    )
    value, weight = both[..., :1], both[..., 1:]
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
