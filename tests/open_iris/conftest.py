import cv2
import numpy as np
import pytest
from drawn_eyes import IRIS, LASH, PUPIL, SCLERA, SKIN, filled

MEAN, STD = 0.485, 0.229  # of the network's first input channel
IDENTITIES, IMAGES = 12, 4  # of the synthetic eyes


@pytest.fixture
def inside():
    return filled


@pytest.fixture(scope="session")
def grey_network(tmp_path_factory):
    """ONNX file with Open-Iris's interface that tells classes by grey level alone.

    From dark to bright: lash, pupil, iris, sclera, skin. A class's probability is a product
    of two sigmoids of the grey level, one for its upper and one for its lower limit. As in
    Open-Iris, lashes and pupil are iris too, and all of these eyeball.
    """
    onnx = pytest.importorskip("onnx")
    steepness = 60.0
    lowest = -300.0  # nothing is darker
    limits = [  # eyeball, iris, pupil, eyelashes
        (lowest, (SCLERA + SKIN) / 2),
        (lowest, (IRIS + SCLERA) / 2),
        ((LASH + PUPIL) / 2, (PUPIL + IRIS) / 2),
        (lowest, (LASH + PUPIL) / 2),
    ]
    parameters = []
    for side, sign in ((0, -1.0), (1, 1.0)):
        weights, biases = np.zeros((4, 3, 1, 1), np.float32), np.zeros(4, np.float32)
        for i, limit in enumerate(limits):
            # The library feeds (grey / 255 - mean) / standard deviation.
            weights[i, 0] = -sign * steepness * STD
            biases[i] = sign * steepness * (limit[side] / 255 - MEAN)
        parameters += [(f"weights{side}", weights), (f"biases{side}", biases)]
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "weights0", "biases0"], ["above"]),
            helper.make_node("Conv", ["input", "weights1", "biases1"], ["below"]),
            helper.make_node("Sigmoid", ["above"], ["p_above"]),
            helper.make_node("Sigmoid", ["below"], ["p_below"]),
            helper.make_node("Mul", ["p_above", "p_below"], ["output"]),
        ],
        "grey levels",
        [helper.make_tensor_value_info("input", kind, (1, 3, 480, 640))],
        [helper.make_tensor_value_info("output", kind, (1, 4, 480, 640))],
        [onnx.numpy_helper.from_array(values, name) for name, values in parameters],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path_factory.mktemp("network") / "grey_levels.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def draw():
    """Draws an eye of flat grey levels: (pupil, iris, opening) -> image, 0..255.

    pupil and iris are (x, y, a, b, angle); the opening is (x, y, a, b) or None for an eye
    wide open; lashes are pixels (height, width), bool.
    """

    def draw(pupil, iris, opening=(320, 240, 260, 170), lashes=None, shape=(480, 640)):
        image = np.full(shape, SKIN, np.uint8)
        between = filled(shape, *opening) if opening is not None else np.ones(shape, bool)
        image[between] = SCLERA
        if iris is not None:
            image[between & filled(shape, *iris)] = IRIS
        if pupil is not None:
            image[between & filled(shape, *pupil)] = PUPIL
        if lashes is not None:
            image[lashes] = LASH
        return image

    return draw


@pytest.fixture
def lash_lines():
    """A few lines within an iris of radius 100 around (320, 240), above the pupil."""
    canvas = np.zeros((480, 640), np.uint8)
    for x in range(270, 360, 20):
        cv2.line(canvas, (x, 160), (x + 10, 185), 1, 3)
    return canvas.astype(bool)


@pytest.fixture(scope="session")
def true_eyes(tmp_path_factory):
    """Synthetic eyes of 6 persons with their truth: (folder, rows, [SyntheticEye])."""
    from iris_tf.data.manifest import ManifestRow
    from iris_tf.imaging.images import write_png
    from iris_tf.synthetic.capture import draw_capture
    from iris_tf.synthetic.eye_renderer import render_eye
    from iris_tf.synthetic.synthetic_identity import draw_identity, image_generator

    folder = tmp_path_factory.mktemp("eyes")
    rows, eyes = [], []
    for subject in range(IDENTITIES // 2):
        for eye in "LR":
            identity = draw_identity(7, subject, eye)
            for sample in range(IMAGES):
                rng = image_generator(7, subject, eye, sample)
                eyes.append(render_eye(identity, draw_capture(rng, identity), rng))
                name = f"{subject}{eye}{sample}.png"
                write_png(folder / name, eyes[-1].image)
                rows.append(
                    ManifestRow(name, "set", str(subject), eye, f"{subject}-{eye}", str(sample))
                )
    return folder, rows, eyes


@pytest.fixture
def truth(true_eyes, monkeypatch):
    """Name of a segmenter that knows the synthetic eyes, for one test and this process."""
    import true_segmenter

    from iris_tf.evaluation.iriscode import _cached_pipeline
    from iris_tf.segmentation.segmenter import SEGMENTERS, SegmentedEye

    monkeypatch.setitem(SEGMENTERS, true_segmenter.NAME, ("true_segmenter", "TrueSegmenter"))
    for eye in true_eyes[2]:
        known = SegmentedEye(eye.pupil, eye.iris, eye.visible, 1.0, eye.opening)
        monkeypatch.setitem(true_segmenter.KNOWN, eye.image.tobytes(), known)
    yield true_segmenter.NAME
    _cached_pipeline.cache_clear()
