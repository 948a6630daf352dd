"""Synthetic eyes against their own ground truth, measured in the drawn pixels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.capture import (
    IMAGE_SHAPE,
    IRIS_DIAMETERS,
    LED_PATTERNS,
    PUPIL_RATIOS,
    draw_capture,
)
from iris_tf.synthetic.eye_renderer import render_eye
from iris_tf.synthetic.hair import draw_lashes
from iris_tf.synthetic.iris_renderer import ring_coordinates
from iris_tf.synthetic.lids import draw_lids
from iris_tf.synthetic.synthetic_identity import draw_identity, image_generator


def _eye(subject, sample=0, eye="L", **changes):
    identity = draw_identity(11, subject, eye)
    rng = image_generator(11, subject, eye, sample)
    capture = replace(draw_capture(rng, identity), **changes)
    return render_eye(identity, capture, rng), capture, identity


def _easy(subject, sample=0, **changes):
    """Eye wide open, sharp, without glasses; its highlights lie inside the pupil."""
    settings = {
        "upper_opening": 1.1,
        "lower_opening": 1.2,
        "defocus": 0.6,
        "motion": 0.0,
        "glasses": False,
        "glare_spots": 0,
        "noise": 1.0,
        "led_pattern": "single",
        "led_size": 0.02,
        "led_x": 0.0,
        "led_y": 0.0,
        "iris_radius": 100.0,
        "socket_x": 320.0,
        "socket_y": 240.0,
    }
    return _eye(subject, sample, **(settings | changes))


def _steepest_radius(image, outline, angles, reach):
    """Where brightness rises fastest across `outline`, in pixels off it, per angle.

    Independent of the renderer: samples the finished image along normals.
    """
    points = outline.points(angles)
    ahead = outline.points(angles + 1e-3) - outline.points(angles - 1e-3)
    normal = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    offsets = np.arange(-reach, reach + 0.01, 0.25)
    places = points[:, None] + normal[:, None] * offsets[None, :, None]
    profile = cv2.remap(
        cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32),
        places[..., 0].astype(np.float32),
        places[..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
    )
    rise = np.gradient(profile, axis=1)
    weight = np.clip(rise, 0.0, None) ** 2
    return (weight * offsets).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6)


@pytest.mark.parametrize("subject", range(6))
def test_pupil_outline_is_where_the_image_steps(subject):
    eye, _, _ = _easy(subject, pupil_ratio=0.25 + 0.05 * subject)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    offset = _steepest_radius(eye.image, eye.pupil, angles, 5)
    assert np.median(np.abs(offset)) < 1.0
    assert abs(np.median(offset)) < 0.5


@pytest.mark.parametrize("subject", range(6))
def test_limbus_is_where_the_image_steps(subject):
    eye, _, _ = _easy(subject, gaze_x=0.02 * subject, gaze_y=0.0)
    # Left and right of the iris, away from lids and lashes.
    angles = np.concatenate([np.linspace(-0.5, 0.5, 30), np.pi + np.linspace(-0.5, 0.5, 30)])
    offset = _steepest_radius(eye.image, eye.iris, angles, 9)
    assert np.median(np.abs(offset)) < 1.5
    assert abs(np.median(offset)) < 1.0


def test_pupil_is_darker_than_ring_and_ring_than_sclera():
    for subject in range(8):
        eye, _, _ = _easy(subject)
        pupil = Ellipse(
            eye.pupil.x, eye.pupil.y, 0.9 * eye.pupil.a, 0.9 * eye.pupil.b, eye.pupil.angle
        ).mask(IMAGE_SHAPE)
        beside = np.zeros(IMAGE_SHAPE, bool)
        reach = round(eye.iris.radius)
        rows = slice(round(eye.iris.y) - 5, round(eye.iris.y) + 6)
        for side in (-1, 1):
            column = round(eye.iris.x) + side * (reach + 25)
            beside[rows, column - 8 : column + 8] = True
        inside, ring, white = (np.median(eye.image[m]) for m in (pupil, eye.visible, beside))
        assert inside + 20 < ring < white - 10


def test_visible_mask_is_ring_without_light_and_lids():
    for subject in range(40):
        eye, capture, _ = _eye(subject)
        ring = eye.iris.mask(IMAGE_SHAPE) & ~eye.pupil.mask(IMAGE_SHAPE)
        assert not (eye.visible & ~ring).any()
        if not capture.glasses:
            # Nothing in an iris comes near white; what does is a highlight.
            level = np.median(eye.image[eye.visible])
            bright = eye.visible & (eye.image > min(2.0 * level + 40, 245))
            assert bright.sum() <= 0.001 * eye.visible.sum()


def test_highlights_are_saturated_and_hidden():
    for subject, pattern in enumerate(LED_PATTERNS):
        eye, _, _ = _easy(subject, led_pattern=pattern, led_x=0.75, led_size=0.05, gain=1.0)
        ring = eye.iris.mask(IMAGE_SHAPE) & ~eye.pupil.mask(IMAGE_SHAPE)
        light = ring & (eye.image > 240)
        assert light.sum() > 20
        assert not (light & eye.visible).any()


def test_closing_lids_hide_the_iris_from_above():
    shares = []
    for opening in (1.1, 0.7, 0.3, 0.0):
        eye, _, _ = _easy(3, upper_opening=opening, roll=0.0, gaze_x=0.0, gaze_y=0.0)
        ring = eye.iris.mask(IMAGE_SHAPE) & ~eye.pupil.mask(IMAGE_SHAPE)
        shares.append(eye.visible.sum() / ring.sum())
        hidden_row = int(eye.iris.y - (opening + 0.12) * 100)
        assert not eye.visible[:hidden_row].any()
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.8
    assert shares[-1] < 0.6


def test_lashes_hide_what_they_cross():
    eye, _, _ = _easy(4, upper_opening=0.9, roll=0.0)
    ring = eye.iris.mask(IMAGE_SHAPE) & ~eye.pupil.mask(IMAGE_SHAPE)
    inner = cv2.erode(eye.visible.astype(np.uint8), np.ones((3, 3))).astype(bool)
    hidden_dark = ring & ~eye.visible & (eye.image < 0.5 * np.median(eye.image[inner]))
    assert hidden_dark.sum() > 50


def test_ring_coordinates_invert_the_rubber_sheet():
    rng = np.random.default_rng(0)
    for _ in range(20):
        iris = Ellipse(200, 180, rng.uniform(80, 110), rng.uniform(90, 110), rng.uniform(0, 3))
        pupil = Ellipse(
            200 + rng.uniform(-6, 6),
            180 + rng.uniform(-6, 6),
            rng.uniform(25, 60),
            rng.uniform(25, 60),
            rng.uniform(0, 3),
        )
        depth = rng.uniform(0.0, 1.0, (1, 50))
        angle = rng.uniform(0.0, 2 * np.pi, 50)
        sheet = (1 - depth[..., None]) * pupil.points(angle) + depth[..., None] * iris.points(angle)
        x, y = sheet[..., 0].astype(np.float32), sheet[..., 1].astype(np.float32)
        found_depth, found_angle = ring_coordinates(pupil, iris, x, y)
        turn = np.angle(np.exp(1j * (found_angle[0] - angle)))
        assert np.abs(found_depth - depth).max() < 0.02
        assert np.abs(turn).max() < 0.02


def test_pupil_outline_follows_its_own_definition():
    """Every outline point is an iris-plane circle point, flattened, shifted and foreshortened."""
    _, capture, _ = _eye(5, gaze_x=0.3, gaze_y=-0.2, pupil_flattening=0.0)
    iris, pupil = capture.iris_ellipse(), capture.pupil_ellipse()
    assert pupil.radius / iris.radius == pytest.approx(capture.pupil_ratio, abs=1e-9)
    assert min(iris.a, iris.b) / max(iris.a, iris.b) == pytest.approx(np.cos(np.hypot(0.3, 0.2)))
    assert min(pupil.a, pupil.b) / max(pupil.a, pupil.b) == pytest.approx(
        min(iris.a, iris.b) / max(iris.a, iris.b)
    )


def test_lids_meet_nowhere_and_cover_the_asked_height():
    for subject in range(20):
        identity = draw_identity(2, subject, "R")
        rng = image_generator(2, subject, "R", 0)
        capture = replace(draw_capture(rng, identity), gaze_y=0.0)
        lids = draw_lids(rng, identity, capture)
        assert (lids.lower_edge >= lids.upper_edge).all()
        assert lids.upper(np.zeros(1))[0] == pytest.approx(-capture.upper_opening, abs=0.02)
        assert lids.lower(np.zeros(1))[0] == pytest.approx(capture.lower_opening, abs=0.02)


def test_ranges_over_a_sample():
    identities = [draw_identity(7, subject, "L") for subject in range(30)]
    captures = [
        draw_capture(image_generator(7, identity.subject, "L", sample), identity)
        for identity in identities
        for sample in range(40)
    ]
    diameters = np.array([2 * c.iris_radius for c in captures])
    ratios = np.array([c.pupil_ratio for c in captures])
    assert diameters.min() >= IRIS_DIAMETERS[0]
    assert diameters.max() <= IRIS_DIAMETERS[1]
    assert diameters.min() < 110
    assert diameters.max() > 280
    # CASIA-Iris-Thousand: the usual iris is about 200 pixels wide.
    assert 185 < np.median(diameters) < 215
    assert ratios.min() >= PUPIL_RATIOS[0]
    assert ratios.max() <= PUPIL_RATIOS[1]
    assert np.median([c.defocus for c in captures]) < 1.0
    assert max(c.defocus for c in captures) > 2.5
    assert {c.led_pattern for c in captures} == set(LED_PATTERNS)
    for capture in captures:
        corners = capture.iris_ellipse().points(np.linspace(0, 2 * np.pi, 40))
        assert (corners >= 0).all()
        assert (corners <= (IMAGE_SHAPE[1] - 1, IMAGE_SHAPE[0] - 1)).all()


def _strip(eye, turn):
    """Unrolled strip (32, 256) without local mean, and where it is visible; turned by `turn`."""
    t = np.linspace(0, 2 * np.pi, 256, endpoint=False) + turn
    depth = ((np.arange(32) + 0.5) / 32)[:, None, None]
    grid = (1 - depth) * eye.pupil.points(t) + depth * eye.iris.points(t)
    x, y = grid[..., 0].astype(np.float32), grid[..., 1].astype(np.float32)
    strip = cv2.remap(eye.image.astype(np.float32), x, y, cv2.INTER_LINEAR)
    seen = cv2.remap(eye.visible.astype(np.float32), x, y, cv2.INTER_LINEAR) > 0.99
    weight = cv2.blur(seen.astype(np.float32), (21, 21)) + 1e-3
    return np.where(seen, strip - cv2.blur(strip * seen, (21, 21)) / weight, 0.0), seen


def _correlation(first, second):
    # Without the rows next to pupil and limbus, whose edges all irises share.
    both = first[1] & second[1]
    both[:4], both[-6:] = False, False
    return np.corrcoef(first[0][both], second[0][both])[0, 1]


def test_same_iris_correlates_and_others_do_not():
    strips = []
    for subject in range(8):
        pair = []
        for sample in range(2):
            eye, capture, _ = _eye(
                subject,
                sample,
                iris_radius=100.0,
                motion=0.0,
                defocus=0.7,
                upper_opening=0.8,
                lower_opening=0.9,
            )
            pair.append(_strip(eye, capture.texture_angle))
        strips.append(pair)
    genuine = [_correlation(a, b) for a, b in strips]
    impostor = [
        _correlation(strips[i][0], strips[j][1]) for i in range(8) for j in range(8) if i != j
    ]
    assert np.median(genuine) > 0.4
    assert np.min(genuine) > np.max(impostor)
    assert abs(np.mean(impostor)) < 0.1


def test_both_eyes_of_a_person_share_the_face_only():
    left, right = draw_identity(1, 4, "L"), draw_identity(1, 4, "R")
    assert left.face == right.face
    assert abs(np.corrcoef(left.texture.pattern.ravel(), right.texture.pattern.ravel())[0, 1]) < 0.2


def test_texture_has_no_seam_and_its_stated_contrast():
    for subject in range(10):
        texture = draw_identity(9, subject, "L").texture
        steps = np.abs(np.diff(texture.pattern, axis=1, append=texture.pattern[:, :1]))
        assert steps[:, -1].mean() < 3 * steps.mean()
        assert texture.pattern.std() == pytest.approx(texture.contrast, rel=0.15)


def test_dilation_stretches_texture_not_quite_linearly():
    """A mark at mid-depth of the texture moves off mid-depth of the ring, either way."""
    rows = []
    for ratio in (0.25, 0.60):
        eye, capture, identity = _easy(0, pupil_ratio=ratio, gaze_x=0.0, gaze_y=0.0, noise=0.0)
        pattern = np.zeros_like(identity.texture.pattern)
        pattern[44:52] = -0.6
        marked = replace(identity, texture=replace(identity.texture, pattern=pattern))
        eye = render_eye(marked, capture, np.random.default_rng(0))
        strip, seen = _strip(eye, 0.0)
        profile = (strip * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        rows.append((np.argmin(profile) + 0.5) / 32)
    assert rows[0] != pytest.approx(rows[1], abs=0.02)
    assert all(0.35 < row < 0.65 for row in rows)


def _under_the_lid(**changes):
    """An eye with hardly a lash whose upper lid hides the top of the iris, and its lids."""
    _, capture, identity = _easy(
        3,
        upper_opening=0.6,
        roll=0.0,
        falloff=0.0,
        light_x=0.0,
        light_y=0.0,
        gain=1.0,
        gamma=1.0,
        sharpening=0.0,
        hair_level=0.02,
        **changes,
    )
    bald = replace(identity, face=replace(identity.face, lashes=0.02))
    eye = render_eye(bald, capture, np.random.default_rng(2))
    return eye, draw_lids(np.random.default_rng(2), bald, capture), capture


def _rows(lids, capture, share):
    """Rows of the image, at the iris's middle columns, `share` of 0.2 radii above the edge."""
    x = np.arange(290, 350)
    v = lids.upper((x - capture.socket_x) / capture.iris_radius) - 0.2 * share
    return np.round(capture.socket_y + capture.iris_radius * v).astype(int), x


def test_bare_edge_of_the_upper_lid_is_no_eyeball():
    bare, lids, capture = _under_the_lid(upper_margin=0.2)
    usual, *_ = _under_the_lid()
    # The edge of the lid stays where it is: the band lies above it.
    np.testing.assert_array_equal(bare.opening, usual.opening)
    for share in (0.3, 0.5, 0.7):
        assert not bare.visible[_rows(lids, capture, share)].any()


def test_bare_edge_is_as_bright_as_it_should_be():
    levels = []
    for level in (0.6, 1.2):
        eye, lids, capture = _under_the_lid(upper_margin=0.2, margin_level=level)
        levels.append(np.median([eye.image[_rows(lids, capture, s)] for s in (0.4, 0.5, 0.6)]))
    assert levels[1] / levels[0] == pytest.approx(2.0, rel=0.1)


def test_lid_touches_the_eyeball_in_a_dark_line():
    dark, lids, capture = _under_the_lid(upper_margin=0.2, margin_line=1.0)
    light, *_ = _under_the_lid(upper_margin=0.2)
    edge, band = _rows(lids, capture, 0.0), _rows(lids, capture, 0.5)
    assert np.median(dark.image[edge]) < np.median(light.image[edge]) - 10
    assert np.median(dark.image[edge]) < np.median(dark.image[band]) - 10


def test_lashes_begin_beyond_the_bare_edge():
    _, _, identity = _easy(3)
    capture = replace(draw_capture(image_generator(11, 3, "L", 0), identity), upper_opening=0.6)
    upturned = replace(identity, face=replace(identity.face, lash_curl=1.0, lashes=1.0))
    hidden = []
    for margin in (0.0, 0.25):
        own = replace(capture, upper_margin=margin)
        lids = draw_lids(np.random.default_rng(4), upturned, own)
        lashes = draw_lashes(np.random.default_rng(5), upturned, own, lids)
        opening = np.zeros(IMAGE_SHAPE, np.uint8)
        cv2.fillPoly(opening, [np.round(own.to_image(lids.opening())).astype(np.int32)], 1)
        above = opening[: int(own.socket_y)] > 0
        hidden.append((lashes[: int(own.socket_y)][above] > 127).sum())
    assert hidden[1] < 0.5 * hidden[0]
