"""A segmenter is read back from its file, and exported in integers."""

import json
import shutil

import cv2
import numpy as np
import pytest

from iris_tf.exporting import export_segmenter_file as module
from iris_tf.exporting.activation_ranges import observe_activations
from iris_tf.exporting.export_segmenter import export_segmenter
from iris_tf.exporting.export_segmenter_file import export_segmenter_file
from iris_tf.exporting.segmenter_file import load_segmenter
from iris_tf.networks.segmentation_network import build_segmentation_network
from iris_tf.support.errors import ExportError, ModelError
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.released_models import released_folder, released_model
from iris_tf.tflite.signatures import MASKS, MASKS_OF_WHOLE

SIZE = (240, 320)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    """With biases and statistics that are not those of a new network."""
    model = build_segmentation_network(SIZE, 4, seed=5)
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights([rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
    logits = model.get_layer("logits")
    logits.set_weights([logits.get_weights()[0], rng.normal(size=4)])
    return model


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    return export_segmenter(network, tmp_path_factory.mktemp("float"), IMAGES, "float32")


def test_the_network_is_read_back(network, file):
    images = IMAGES[..., None].astype(np.float32)
    expected, found = (model(images, training=False) for model in (network, load_segmenter(file)))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-3, atol=1e-3)


def test_activations_are_those_of_the_signature_that_is_run(file):
    content = file.read_bytes()
    for signature in (MASKS, MASKS_OF_WHOLE):
        model = LiteRTModel(file, signature)
        image = IMAGES[0, : model.input_size[0], : model.input_size[1]]
        values = observe_activations(content, signature, image[None, ..., None], 0)
        masks = model(image)
        # Its output is among what was seen: the least and the largest are kept.
        ends = {(round(float(v[-2]), 3), round(float(v[-1]), 3)) for v in values.values()}
        assert (round(float(masks.min()), 3), round(float(masks.max()), 3)) in ends


def test_integers_are_neither_read_back_nor_made_without_images(network, tmp_path):
    with pytest.raises(ExportError, match="int8 needs images for calibration"):
        export_segmenter(network, tmp_path, IMAGES, "int8")
    with pytest.raises(ExportError, match=r"cannot be read back .* give a float32 or float16 file"):
        load_segmenter(released_model("iris-segmenter", "int8"))


def test_another_network_is_refused(network, file, monkeypatch):
    from iris_tf.networks import segmentation_network

    stages = segmentation_network._STAGES
    monkeypatch.setattr(segmentation_network, "_STAGES", (*stages[:2], (stages[2][0], (1, 4, 2))))
    with pytest.raises(ExportError, match=r"masks differ by .* another network"):
        load_segmenter(file)


def test_released_integers_segment_as_floats_do(small_images):
    """On generated eyes; the card says which file is which."""
    card = json.loads((released_folder("iris-segmenter") / "model_card.json").read_text("utf-8"))
    paths = {name: released_model("iris-segmenter", name) for name in ("float16", "int8")}
    for name, path in paths.items():
        assert card["files"][path.name]["precision"] == name
    assert paths["int8"].stat().st_size < 0.65 * paths["float16"].stat().st_size
    for signature in (MASKS, MASKS_OF_WHOLE):
        float16, int8 = (LiteRTModel(path, signature) for path in paths.values())
        for path in sorted(small_images.rglob("*.jpg"))[:4]:
            eye = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            image = cv2.resize(eye, float16.input_size[::-1], interpolation=cv2.INTER_AREA)
            one, other = (model(image) > 0.5 for model in (float16, int8))
            assert (one & other).sum() / (one | other).sum() > 0.98


@pytest.fixture
def released(tmp_path):
    folder = released_folder("iris-segmenter")
    for name in ("model_card.json", "iris_segmenter_float16.tflite"):
        shutil.copy(folder / name, tmp_path)
    return tmp_path / "iris_segmenter_float16.tflite"


@pytest.fixture
def few_eyes(monkeypatch):
    monkeypatch.setattr(module, "_CALIBRATION_EYES", 4)
    monkeypatch.setattr(module, "_PARITY_EYES", 1)


def test_a_file_gets_a_card_or_joins_that_of_its_network(released, few_eyes, tmp_path, run_cli):
    out = tmp_path / "out"
    status, printed, _ = run_cli("export", released, "--precision", "int8,float32", "--out", out)
    assert status == 0 and "iris_segmenter_int8.tflite: 0.44 MiB" in printed
    card = json.loads((out / "model_card.json").read_text("utf-8"))
    assert {facts["precision"] for facts in card["files"].values()} == {"int8", "float32"}
    source = json.loads((released.with_name("model_card.json")).read_text("utf-8"))
    assert card["weights_sha256"] == source["weights_sha256"] and "metrics" not in card
    export_segmenter_file(released, tmp_path, ["float32"])
    joined = json.loads((released.with_name("model_card.json")).read_text("utf-8"))
    assert joined["metrics"] == source["metrics"]
    assert joined["files"].keys() == {*source["files"], "iris_segmenter_float32.tflite"}


def test_what_cannot_be_exported(released, tmp_path, run_cli):
    with pytest.raises(ExportError, match="'int4' is not a precision"):
        export_segmenter_file(released, tmp_path / "out", ["int4"])
    other = tmp_path / "other"
    other.mkdir()
    (other / "model_card.json").write_text('{"weights_sha256": "0", "files": {}}')
    with pytest.raises(ExportError, match="holds the card of another model"):
        export_segmenter_file(released, other, ["float32"])
    released.with_name("model_card.json").unlink()
    with pytest.raises(ModelError, match="is missing, or not the card of a segmenter"):
        export_segmenter_file(released, tmp_path / "out", ["float32"])
    assert not (tmp_path / "out").exists()
    status, _, err = run_cli("export", released)
    assert status == 2 and "give --out with a .keras or .tflite file" in err
