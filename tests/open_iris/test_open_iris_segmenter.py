import os
import pickle
import subprocess

import joblib
import numpy as np
import pytest

from iris_tf.segmentation.roi_modes import algorithm1, crop_roi
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError
from iris_tf.support.files import sha256

iris = pytest.importorskip("iris")

PUPIL = (318.0, 243.0, 42.0, 38.0, 0.4)
IRIS = (320.0, 240.0, 110.0, 103.0, 1.0)
ROUND_IRIS = (320.0, 240.0, 100.0, 100.0, 0.0)


@pytest.fixture(scope="module")
def segment(grey_network):
    return segmenter_by_name("open-iris", grey_network)


def library_masks(network, image):
    """The library alone, as MobiIris uses it."""
    segmentation = iris.MultilabelSegmentation(
        model_path=str(network), input_resolution=(640, 480), input_num_channels=3, denoise=True
    )
    ir_image = iris.IRImage(img_data=image, image_id="0", eye_side="left")
    return iris.MultilabelSegmentationBinarization()(segmentation(ir_image))


def assert_outline(found, wanted, tolerance):
    """Distances of 90 points to the other outline's points, in pixels."""
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    x, y, a, b, turn = wanted
    u, v = a * np.cos(angles), b * np.sin(angles)
    truth = np.stack(
        [x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1
    )
    points = found.points(angles[::8])
    nearest = np.linalg.norm(points[:, None] - truth[None], axis=2).min(axis=1)
    assert nearest.max() < tolerance, nearest.max()


def test_outlines_of_a_drawn_eye(segment, draw):
    eye = segment(draw(PUPIL, IRIS))
    assert_outline(eye.pupil, PUPIL, 0.8)
    assert_outline(eye.iris, IRIS, 0.8)
    assert eye.confidence > 0.97


def test_lids_over_iris_and_pupil_do_not_bend_the_outlines(segment, draw, inside):
    opening = (320, 285, 240, 75)  # its upper edge hides a part of the pupil
    eye = segment(draw(PUPIL, IRIS, opening))
    assert not (inside((480, 640), *PUPIL) <= inside((480, 640), *opening)).all()
    assert_outline(eye.pupil, PUPIL, 1.0)
    assert_outline(eye.iris, IRIS, 1.5)
    # The library's denoising moves the odd pixel.
    assert (eye.opening != inside((480, 640), *opening)).sum() < 10


def test_images_of_another_size_and_shape(segment, draw):
    pupil, limbus = (150.0, 130.0, 20.0, 20.0, 0.0), (152.0, 128.0, 56.0, 56.0, 0.0)
    eye = segment(draw(pupil, limbus, (155, 130, 130, 90), shape=(280, 320)))
    assert eye.visible.shape == eye.opening.shape == (280, 320)
    assert_outline(eye.pupil, pupil, 1.5)
    assert_outline(eye.iris, limbus, 1.5)


def test_masks_are_the_library_s_to_the_pixel(segment, grey_network, draw, lash_lines):
    image = draw(PUPIL, ROUND_IRIS, (320, 250, 230, 90), lash_lines)
    image[230:236, 360:366] = 255  # a reflection in the iris
    image[20:30, 20:30] = 120  # something else of the iris's brightness
    geometry, noise = library_masks(grey_network, image)
    ring = geometry.filled_iris_mask & ~geometry.pupil_mask
    eye = segment(image)
    np.testing.assert_array_equal(eye.iris_minus_pupil, ring)
    inside = eye.iris.mask(image.shape) & ~eye.pupil.mask(image.shape)
    np.testing.assert_array_equal(eye.visible, ring & ~noise.mask & (image < 254) & inside)
    assert ring[20:30, 20:30].any() and not eye.visible[20:30, 20:30].any()
    np.testing.assert_array_equal(eye.opening, geometry.filled_eyeball_mask)
    assert noise.mask.sum() > 500
    assert_outline(eye.iris, ROUND_IRIS, 1.0)  # the stray region is not the iris

    # Algorithm 1 of the paper, line by line, on the library's masks.
    roi = image * ring
    rows, columns = np.flatnonzero(ring.any(axis=1)), np.flatnonzero(ring.any(axis=0))
    wanted = roi[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.testing.assert_array_equal(algorithm1(image, eye), wanted)
    assert wanted.shape[0] > 230  # the stray region widens the paper's box
    assert (wanted == 5).sum() > 300  # lashes stay in it
    assert not (crop_roi(image, eye, "aligned") == 5).any()


def test_an_unsure_network_gives_less_confidence(segment, draw):
    image = draw(PUPIL, IRIS)
    doubtful = image.copy()
    doubtful[image == 180] = 152  # sclera hardly brighter than the limit of the iris
    assert segment(doubtful).confidence < segment(image).confidence - 0.2
    doubtful = image.copy()
    doubtful[image == 40] = 74  # pupil hardly darker than the limit of the iris
    assert segment(doubtful).confidence < segment(image).confidence - 0.1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iris": None, "pupil": None}, FailureReason.NO_IRIS),
        ({"pupil": None}, FailureReason.NO_PUPIL),
        ({"pupil": (320, 240, 80, 80)}, FailureReason.IMPLAUSIBLE_GEOMETRY),
        ({"pupil": (320, 240, 9, 9)}, FailureReason.IMPLAUSIBLE_GEOMETRY),
        ({"pupil": (235, 240, 40, 40)}, FailureReason.IMPLAUSIBLE_GEOMETRY),
        # The sclera is nowhere seen: no part of the iris's edge is the limbus.
        ({"opening": (320, 240, 60, 60)}, FailureReason.NO_IRIS),
        ({"opening": (320, 170, 150, 40)}, FailureReason.NO_PUPIL),
    ],
)
def test_failures_have_a_reason(segment, draw, changes, reason):
    with pytest.raises(ExtractionError) as failure:
        segment(draw(**({"pupil": PUPIL, "iris": ROUND_IRIS} | changes)))
    assert failure.value.reason is reason
    assert str(failure.value).endswith(".")


def test_a_hidden_iris_is_occluded(segment, draw, inside):
    shape = (480, 640)
    # Lashes everywhere but near the edges, which are found all the same.
    lashes = inside(shape, 320, 240, 96, 96) & ~inside(shape, 318, 243, 46, 42, 0.4)
    with pytest.raises(ExtractionError, match=r"Only 1\d% of the iris") as failure:
        segment(draw(PUPIL, ROUND_IRIS, lashes=lashes))
    assert failure.value.reason is FailureReason.OCCLUDED


@pytest.mark.parametrize("fill", [0, 40, 120, 180, 255])
def test_flat_images_fail(segment, fill):
    with pytest.raises(ExtractionError):
        segment(np.full((240, 320), fill, np.uint8))


def test_noise_fails_or_gives_masks(segment):
    rng = np.random.default_rng(0)
    for shape in ((64, 64), (97, 331), (480, 640)):
        try:
            eye = segment(rng.integers(0, 256, shape, dtype=np.uint8))
        except ExtractionError as error:
            assert error.reason is not FailureReason.INTERNAL
        else:
            assert eye.visible.shape == shape


def test_works_pickled_and_in_worker_processes(segment, draw):
    images = [draw(PUPIL, IRIS), draw(PUPIL, ROUND_IRIS)]
    here = [segment(image) for image in images]
    copy = pickle.loads(pickle.dumps(segment))
    there = joblib.Parallel(n_jobs=2)(joblib.delayed(copy)(image) for image in images)
    for mine, theirs in zip(here, there, strict=True):
        assert (mine.pupil, mine.iris) == (theirs.pupil, theirs.iris)
        np.testing.assert_array_equal(mine.visible, theirs.visible)


def test_version_names_library_and_network(segment, grey_network):
    assert segment.name == "open-iris"
    assert segment.version == f"1.11.2-{sha256(grey_network)[:8]}"


def test_runs_on_one_thread(segment):
    options = segment._load()["segmentation"].params.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_unusable_files_are_refused(tmp_path, grey_network):
    import onnx

    with pytest.raises(ModelError, match=r"none\.onnx: there is no such file"):
        segmenter_by_name("open-iris", tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"broken\.onnx: Open-Iris cannot load"):
        segmenter_by_name("open-iris", tmp_path / "broken.onnx")
    other = onnx.load(grey_network)
    other.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 240
    other.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 240
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"other\.onnx: the network's input has the shape .*240"):
        segmenter_by_name("open-iris", tmp_path / "other.onnx")


def test_offline_one_sentence_says_what_is_missing(command, tmp_path):
    arguments = ["prepare", "--segmenter", "open-iris", "--images", tmp_path]
    done = subprocess.run(
        [command, *arguments, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Open-Iris's network iris_semseg_upp_scse_mobilenetv2.")
    assert done.stderr.count("\n") == 1
    assert "Worldcoin/iris-semantic-segmentation" in done.stderr
    assert "--segmenter network" in done.stderr
    assert "Traceback" not in done.stderr and "://" not in done.stderr
