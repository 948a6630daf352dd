"""Cameras of the generator: outlines and masks must follow what happens to the pixels."""

import dataclasses

import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.camera import Camera
from iris_tf.synthetic.capture import IMAGE_SHAPE, draw_capture
from iris_tf.synthetic.eye_renderer import render_eye
from iris_tf.synthetic.synthetic_identity import draw_identity
from iris_tf.synthetic.variety import (
    draw_varied_camera,
    draw_varied_capture,
    draw_varied_face,
)

NOWHERE = Ellipse(-500.0, -500.0, 1.0, 1.0)


@pytest.mark.parametrize("shape", [(480, 640), (240, 320), (280, 320), (400, 400), (200, 640)])
def test_outline_follows_the_pixels(shape):
    camera = Camera(shape)
    disc = Ellipse(330.0, 251.0, 80.0, 70.0, 0.4)
    scene = disc.mask(IMAGE_SHAPE).astype(np.float32)
    seen = camera.view(scene)
    assert seen.shape == shape
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    outline = camera.outline(disc)
    assert outline.x == pytest.approx((seen * columns).sum() / seen.sum(), abs=0.3)
    assert outline.y == pytest.approx((seen * rows).sum() / seen.sum(), abs=0.3)
    assert np.pi * outline.a * outline.b == pytest.approx(seen.sum(), rel=0.02)


def test_bars_and_round_mask_are_blank_and_covered():
    camera = Camera((100, 200), borders=(0.1, 0.0, 0.0, 0.05), border_level=9.0, round_mask=0.95)
    image = camera.record(np.full((100, 200), 77, np.uint8), NOWHERE)
    covered = camera.covered()
    assert covered[:10].all() and covered[:, 190:].all()
    assert covered[10, 0], "a corner lies outside the round view"
    assert not covered[50, 100]
    np.testing.assert_array_equal(image[covered], 9)
    np.testing.assert_array_equal(image[~covered], 77)


def test_painted_pupil_is_flat():
    pupil = Ellipse(100.0, 60.0, 20.0, 18.0)
    noise = np.random.default_rng(0).integers(0, 255, (120, 200)).astype(np.uint8)
    image = Camera((120, 200), painted_pupil=40.0).record(noise, pupil)
    inner = Ellipse(100.0, 60.0, 18.0, 16.0).mask(image.shape)
    np.testing.assert_array_equal(image[inner], 40)
    outer = ~Ellipse(100.0, 60.0, 22.0, 20.0).mask(image.shape)
    np.testing.assert_array_equal(image[outer], noise[outer])


def test_black_and_white_levels():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    image = Camera((64, 256), black=50.0, white=150.0).record(ramp, NOWHERE)
    assert image.min() == 50 and image.max() == 150
    assert image[0, 51] == 70  # 50 + 51 * 100 / 255


def test_one_camera_of_the_usual_kind_changes_nothing_but_compression():
    identity = draw_identity(1, 0, "L")
    capture = draw_capture(np.random.default_rng(3), identity)
    plain = render_eye(identity, capture, np.random.default_rng(4))
    same = render_eye(identity, capture, np.random.default_rng(4), Camera(IMAGE_SHAPE))
    np.testing.assert_array_equal(plain.image, same.image)
    np.testing.assert_array_equal(plain.visible, same.visible)
    assert plain.iris == same.iris


def _varied(seed):
    rng = np.random.default_rng(seed)
    identity = draw_identity(seed, 0, "R")
    identity = dataclasses.replace(identity, face=draw_varied_face(rng, identity.face))
    camera = draw_varied_camera(rng)
    capture = draw_varied_capture(rng, identity, draw_capture(rng, identity), camera)
    return render_eye(identity, capture, rng, camera), camera


def test_varied_eyes_have_sound_truth():
    shapes = set()
    for seed in range(40):
        eye, camera = _varied(seed)
        shapes.add(eye.image.shape)
        assert eye.image.shape == eye.visible.shape == eye.opening.shape == camera.shape
        assert eye.image.dtype == np.uint8
        assert not (eye.visible & ~eye.opening).any(), "what is seen lies between the lids"
        assert not (eye.visible & eye.pupil.mask(camera.shape)).any()
        assert not (eye.visible & ~eye.iris.mask(camera.shape)).any()
        assert 0.12 <= eye.pupil.radius / eye.iris.radius <= 0.75
    assert len(shapes) >= 4


def test_varied_eye_is_decided_by_its_generator():
    (one, _), (same, _), (other, _) = _varied(5), _varied(5), _varied(6)
    np.testing.assert_array_equal(one.image, same.image)
    assert one.image.shape != other.image.shape or (one.image != other.image).any()
