import json
import shutil

import numpy as np
import pytest

from iris_tf.exporting.export_tflite import export_model
from iris_tf.exporting.export_weights import export_weights
from iris_tf.exporting.float16_check import LARGEST_FLOAT16
from iris_tf.exporting.precision_report import REPORT_NAME
from iris_tf.exporting.static_quantization import layer_of_tensor
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.support.errors import ExportError, ModelError
from iris_tf.synthetic.strips import draw_strips
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.operators import float_operations
from iris_tf.tflite.released_models import released_model, released_weights
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder


def test_float32_computes_the_same_as_the_released_float16(released_float32):
    strips = draw_strips(3, 1, 6)
    full, half = (
        TFLiteEmbedder(path).embed(strips)
        for path in (released_float32, released_model("mobiiris"))
    )
    cosines = np.sum(full * half, axis=1)
    assert cosines.min() > 0.9999 and not np.array_equal(full, half)
    # Both components have the same share: the square of a component's length.
    shares = [np.square(each[:, 112:]).sum(axis=1) for each in (full, half)]
    np.testing.assert_allclose(shares[0], shares[1], atol=2e-3)
    np.testing.assert_allclose(shares[0], 0.667, atol=1e-5)  # exactly that of the recipe


def test_card_is_the_released_one_with_the_new_file(released_float32):
    card = ModelCard.beside(released_float32)
    released = ModelCard.beside(released_model("mobiiris"))
    assert list(card.files) == ["mobiiris_float32.tflite"]
    assert list(card.parity) == ["float32"] and card.parity["float32"] > 0.99999
    for name in ("phase", "score", "thresholds", "roi_mode", "embedding_size", "weights_sha256"):
        assert getattr(card, name) == getattr(released, name)


@pytest.fixture
def copy(tmp_path):
    """Weights, card and file of the released model in a folder of their own."""
    folder = released_weights("mobiiris").parent
    for name in ("mobiiris.keras", "mobiiris_float16.tflite", "model_card.json"):
        shutil.copy(folder / name, tmp_path)
    return tmp_path / "mobiiris.keras"


def test_what_cannot_be_exported(copy, tmp_path, run_cli):
    with pytest.raises(ExportError, match="holds a model card already"):
        export_weights(copy, tmp_path, ["float32"])
    card = tmp_path / "model_card.json"
    values = json.loads(card.read_text())
    card.write_text(json.dumps(values | {"roi_mode": "aligned"}))
    with pytest.raises(ExportError, match="takes aligned crops"):
        export_weights(copy, tmp_path / "out", ["float32"])
    card.write_text(json.dumps(values | {"weights_sha256": 64 * "0"}))
    with pytest.raises(ModelError, match="describes other weights"):
        export_weights(copy, tmp_path / "out", ["float32"])
    for arguments in ([copy], [tmp_path, "--out", tmp_path / "out"]):
        status, _, err = run_cli("export", *arguments)
        assert status == 2 and "give --out with a .keras or .tflite file" in err
    assert not (tmp_path / "out").exists()


def test_a_report_says_how_the_release_fares_in_float16_arithmetic(copy, tmp_path, run_cli):
    out = tmp_path / "out"
    status, printed, err = run_cli(
        "export", copy, "--precision", "float16", "--out", out, "--report"
    )
    assert status == 0, err
    found = json.loads((out / REPORT_NAME).read_text())
    assert found["layers"] == {}
    for crops, arithmetic in found["float16_arithmetic"].items():
        assert f"float16 arithmetic, {crops} crops: largest output" in printed
        assert arithmetic["overflows"] == {} and arithmetic["min_cosine"] > 0.999
        assert arithmetic["largest_sum"] < LARGEST_FLOAT16
    segmenter = tmp_path / "segmenter.tflite"
    segmenter.touch()
    status, _, err = run_cli("export", segmenter, "--out", tmp_path / "other", "--report")
    assert status == 2 and "--report is for run folders and .keras files" in err


def test_the_released_model_in_integers(copy, tmp_path, monkeypatch):
    asked = []

    def recorded(*arguments, quantization, **named):
        asked.append(quantization)
        return export_model(*arguments, quantization=quantization, **named)

    monkeypatch.setattr("iris_tf.exporting.export_weights.export_model", recorded)
    monkeypatch.setattr("iris_tf.exporting.export_weights._EYES", 8)
    out = tmp_path / "integers"
    _, card = export_weights(
        copy, out, ["float16", "int8"], keep_float=["expanded_conv_14_depth.*"]
    )
    export_weights(copy, tmp_path / "floats", ["float16"])
    quantization, without = asked
    assert without is None
    expected = np.concatenate([draw_strips(27, eye, 2) for eye in range(8)])
    np.testing.assert_array_equal(quantization.rois, expected)
    assert quantization.keep_float == ("expanded_conv_14_depth.*",)
    # Relative to four bytes a parameter, of which the learned component has 3.1 million.
    int8 = card.files["mobiiris_int8.tflite"]
    assert int8.bytes < 0.31 * load_embedding_model(copy).count_params() * 4
    assert card.parity["int8"] > 0.98 and card.parity["float16"] > 0.9999
    content = (out / "mobiiris_int8.tflite").read_bytes()
    in_float = {layer_of_tensor(tensor) for _, tensor in float_operations(content)}
    assert "expanded_conv_14_depthwise" in in_float and "expanded_conv_13_depthwise" not in in_float


def test_a_precision_that_is_not_released_says_how_to_make_it():
    with pytest.raises(ModelError, match=r"iris-tf export .*mobiiris\.keras --precision float32"):
        released_model("mobiiris", "float32")
