"""The network segmenter on generated eyes that are rotated by any angle."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from iris_tf.evaluation.segmenter_scores import intersection_over_union
from iris_tf.imaging.geometry import Ellipse
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.segmentation import network_segmenter
from iris_tf.segmentation.network_segmenter import NetworkSegmenter
from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.synthetic.ground_truth import read_truth

ANGLES = (0, 30, 45, 60, 90, 120, 135, 180, 210, 270, 315)


@pytest.fixture(scope="module")
def segment():
    return NetworkSegmenter()


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Generated eyes with their outlines and masks: two images of each of four eyes."""
    folder = synthesize(tmp_path_factory.mktemp("eyes") / "e", 2, 2, 11, 1, "png", "one", None)
    paths = sorted(p for p in folder.rglob("*.png") if not p.stem.endswith("_mask"))
    return [(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), *read_truth(path)) for path in paths]


def about(iris, degrees):
    """Matrix (2, 3) that rotates an image about an iris from +x towards +y."""
    return cv2.getRotationMatrix2D((iris.x, iris.y), -degrees, 1.0)


def rotated(image, iris, degrees):
    return cv2.warpAffine(
        image, about(iris, degrees), image.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )


def moved(ellipse, centre, degrees):
    x, y = about(centre, degrees) @ (ellipse.x, ellipse.y, 1.0)
    return Ellipse(x, y, ellipse.a, ellipse.b, ellipse.angle + math.radians(degrees))


@pytest.mark.parametrize("degrees", ANGLES)
def test_outlines_and_masks_are_those_of_the_given_image(segment, eyes, degrees):
    for image, pupil, iris, visible in eyes[::2]:
        found = segment(rotated(image, iris, degrees))
        shape = image.shape
        for one, true in ((found.pupil, pupil), (found.iris, iris)):
            overlap = intersection_over_union(
                one.mask(shape), moved(true, iris, degrees).mask(shape)
            )
            assert overlap > 0.9
        seen = rotated(visible.astype(np.uint8), iris, degrees) > 0
        assert intersection_over_union(found.visible, seen) > 0.85
        assert found.opening.shape == shape and found.opening.dtype == bool


def test_the_tilt_is_found_unless_the_network_is_sure_of_an_eye_that_is_wide_open(segment, eyes):
    errors = [
        math.remainder(
            segment(rotated(image, iris, degrees)).tilt - math.radians(degrees), 2 * math.pi
        )
        for image, _, iris, _ in eyes[::2]
        for degrees in (45, 90, 180, 270)
    ]
    # The eyelids of these eyes are themselves up to 13 degrees askew.
    assert np.mean(np.abs(np.degrees(errors)) < 20) > 0.8


def test_rotated_eyes_are_recognised_as_upright_ones_are(eyes):
    recognizer = IrisRecognizer()
    for (image, _, iris, _), (other, *_) in zip(eyes[::2], eyes[1::2], strict=True):
        template = recognizer.enroll(other)
        upright = recognizer.verify(template, image)
        for degrees in (90, 180, 300):
            found = recognizer.verify(template, rotated(image, iris, degrees))
            assert found.same_eye
            assert found.score > 0.7 * upright.score


def test_an_upright_eye_takes_no_rotated_window(segment, eyes, monkeypatch):
    def forbidden(*_):
        raise AssertionError("an upright eye was looked for in a rotated window")

    monkeypatch.setattr(network_segmenter.RotatedWindow, "around", forbidden)
    for image, *_ in eyes:
        assert segment(image).tilt == 0.0


LIKE_UPRIGHT = {0: 0.93, 45: 0.9, 90: 0.85, 135: 0.86, 180: 0.935, 225: 0.86, 270: 0.84, 315: 0.9}


@pytest.mark.parametrize(
    ("overlaps", "degrees"),
    [
        # 0.93 + (0.9 + 0.9) / 2 = 1.83, against 0.935 + (0.86 + 0.86) / 2 = 1.795: the windows
        # beside the best one tell on which side is up.
        (LIKE_UPRIGHT, 0),
        ({(at + 180) % 360: overlap for at, overlap in LIKE_UPRIGHT.items()}, 180),
        ({(at + 90) % 360: overlap for at, overlap in LIKE_UPRIGHT.items()}, 90),
        ({(at + 225) % 360: overlap for at, overlap in LIKE_UPRIGHT.items()}, 225),
        (dict.fromkeys(LIKE_UPRIGHT, 0.9), 0),
        # 0.025 more evidence is enough for an eye on its side, not for one upside down.
        (dict.fromkeys(LIKE_UPRIGHT, 0.9) | {90: 0.925}, 90),
        (dict.fromkeys(LIKE_UPRIGHT, 0.9) | {180: 0.925}, 0),
        ({90: 0.8}, 90),
        ({}, 0),
    ],
)
def test_all_windows_tell_the_rotation(segment, monkeypatch, overlaps, degrees):
    def infer(_model, _image, window):
        if window not in overlaps:
            raise ExtractionError(FailureReason.NO_IRIS, "none")
        return SimpleNamespace(expected_overlap=overlaps[window])

    monkeypatch.setattr(network_segmenter, "_window", lambda _, angle: round(math.degrees(angle)))
    monkeypatch.setattr(network_segmenter, "_infer", infer)
    found = segment._rotated_overlaps(np.zeros((9, 9), np.uint8), Ellipse(4.0, 4.0, 2.0, 2.0))
    assert round(math.degrees(network_segmenter._rotation(found))) % 360 == degrees


def test_the_refusal_is_that_of_the_image_as_it_is(segment, eyes, monkeypatch):
    image = eyes[0][0]
    monkeypatch.setattr("iris_tf.segmentation.plausibility._MIN_CONFIDENCE", 1.1)
    refine, refusals = NetworkSegmenter._refine, []

    def watched(self, *arguments):
        attempt = refine(self, *arguments)
        refusals.append(str(attempt.refusal))
        return attempt

    monkeypatch.setattr(NetworkSegmenter, "_refine", watched)
    with pytest.raises(ExtractionError) as raised:
        segment(image)
    assert len(refusals) == 2 and refusals[0] != refusals[1]
    assert str(raised.value) == refusals[0]
