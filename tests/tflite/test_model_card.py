import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from iris_tf.config.names import SCORE_RATES
from iris_tf.config.precision import PRECISIONS
from iris_tf.support.errors import ModelError
from iris_tf.tflite.model_card import ModelCard, ModelFile
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

FIXTURES = Path(__file__).parents[2] / "android_demo" / "core" / "src" / "test" / "resources"
MODEL = b"\x00\x01not really a model\xff"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mobiiris_float16.tflite").write_bytes(MODEL)
    return tmp_path


@pytest.fixture
def card():
    return ModelCard(
        name="mobiiris",
        network="mobilenet_v3_large",
        roi_mode="aligned",
        segmenter="opencv",
        input_size=(96, 128),
        embedding_size=128,
        thresholds={"eer": 0.25, "far_1e-2": 0.5, "far_1e-3": 0.75},
        thresholds_from={
            "dataset": "synthetic",
            "split": "val",
            "genuine_comparisons": 100,
            "impostor_comparisons": 900,
        },
        files={
            "mobiiris_float16.tflite": ModelFile(
                "float16", hashlib.sha256(MODEL).hexdigest(), len(MODEL)
            )
        },
        training_data="Generated eyes, seed 0: 70 persons.",
        parity={"float16": 0.99999},
        metrics={"validation": {"eer": 0.05}},
        created_by="iris_tf 0.1.0",
        weights_sha256="0123456789abcdef" * 4,
        segmenter_version="2",
    )


def change(path, **changes):
    values = json.loads(path.read_text())
    for name, value in changes.items():
        if value is None:
            del values[name]
        else:
            values[name] = value
    path.write_text(json.dumps(values))


def test_precision_under_its_former_name(card, folder, monkeypatch):
    card.write(folder / "model_card.json")
    renamed = dataclasses.replace(PRECISIONS["float16"], name="half", former_names=("float16",))
    monkeypatch.setitem(PRECISIONS, "half", renamed)
    read = ModelCard.read(folder / "model_card.json")
    assert read.files["mobiiris_float16.tflite"].precision == "half"
    assert read.parity == {"half": 0.99999}


@pytest.mark.parametrize(
    ("written", "version", "read"),
    [("int8", 1, "dynamic8"), ("int8", 2, "int8"), ("dynamic8", 2, "dynamic8")],
)
def test_int8_of_older_cards_is_8_bit_weights(card, folder, written, version, read):
    path = folder / "model_card.json"
    card.write(path)
    files = json.loads(path.read_text())["files"]
    files["mobiiris_float16.tflite"]["precision"] = written
    change(path, files=files, parity={written: 0.99}, schema_version=version)
    found = ModelCard.read(path)
    assert found.files["mobiiris_float16.tflite"].precision == read
    assert found.parity == {read: 0.99}
    # Written again, it says the same, whichever version it is written in.
    found.write(path)
    assert ModelCard.read(path) == found
    assert json.loads(path.read_text())["schema_version"] == 2


def test_round_trip(card, folder):
    card.write(folder / "model_card.json")
    assert ModelCard.read(folder / "model_card.json") == card
    assert ModelCard.beside(folder / "mobiiris_float16.tflite") == card


def test_the_layout_of_a_phase_code_is_kept(card, folder):
    with_code = dataclasses.replace(card, phase=PhaseCodeLayout(96, 16, 2))
    with_code.write(folder / "model_card.json")
    assert ModelCard.read(folder / "model_card.json") == with_code
    for wrong in ({"size": 96}, {"size": 96, "columns": 7, "turns": 2}, [], 96,
                  {"size": 128, "columns": 16, "turns": 2}):  # fmt: skip
        change(folder / "model_card.json", phase=wrong)
        with pytest.raises(ModelError, match="phase does not give"):
            ModelCard.read(folder / "model_card.json")


def test_json_that_the_phone_reads(card, folder):
    card.write(folder / "model_card.json")
    values = json.loads((folder / "model_card.json").read_text())
    assert values["schema_version"] == 1
    assert values["input_size"] == [96, 128]
    assert values["thresholds"]["far_1e-2"] == 0.5
    assert values["files"]["mobiiris_float16.tflite"]["bytes"] == len(MODEL)


@pytest.mark.parametrize("name", ["weights_sha256", "segmenter_version"])
def test_a_card_from_before_it_said_this(card, folder, name):
    path = folder / "model_card.json"
    card.write(path)
    change(path, **{name: None})
    assert ModelCard.read(path) == dataclasses.replace(card, **{name: ""})


def test_no_card(folder):
    with pytest.raises(ModelError, match=r"there is no model card; copy .*`iris-tf export RUN`"):
        ModelCard.beside(folder / "mobiiris_float16.tflite")


def test_no_model(card, folder):
    card.write(folder / "model_card.json")
    with pytest.raises(ModelError, match=r"other\.tflite: there is no such model file"):
        ModelCard.beside(folder / "other.tflite")


def test_card_of_other_files(card, folder):
    card.write(folder / "model_card.json")
    (folder / "renamed.tflite").write_bytes(MODEL)
    with pytest.raises(ModelError, match=r"describes mobiiris_float16\.tflite, not renamed"):
        ModelCard.beside(folder / "renamed.tflite")


def test_changed_file(card, folder):
    card.write(folder / "model_card.json")
    (folder / "mobiiris_float16.tflite").write_bytes(MODEL + b"!")
    with pytest.raises(ModelError, match="SHA-256"):
        ModelCard.beside(folder / "mobiiris_float16.tflite")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\xff\xfe", "[" * 100_000, "9" * 5_000])
def test_not_a_card(folder, text):
    path = folder / "model_card.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"model_card\.json: the model card"):
        ModelCard.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 3}, "schema_version is 3, but this program reads 1 and 2"),
        ({"schema_version": None}, "schema_version is None"),
        ({"segmenter": None}, "field segmenter is missing"),
        ({"colour": "red"}, "unknown field colour"),
        ({"roi_mode": 3}, "roi_mode is 3, not a text"),
        ({"weights_sha256": 7}, "weights_sha256 is 7, not a text"),
        ({"segmenter_version": 2}, "segmenter_version is 2, not a text"),
        ({"roi_mode": "square"}, "'square', but this program knows algorithm1, aligned, unrolled"),
        ({"input_size": [96]}, r"input_size is \[96\]"),
        ({"input_size": [96, -1]}, "input_size"),
        ({"input_size": [0, 96]}, "input_size"),
        ({"embedding_size": "128"}, "embedding_size is '128'"),
        ({"thresholds": {"eer": 0.1, "far_1e-2": 0.2}}, "thresholds.far_1e-3 is None"),
        ({"thresholds": {"eer": "high", "far_1e-2": 0.2, "far_1e-3": 1}}, "thresholds.eer"),
        ({"thresholds": {"eer": 0.1, "far_1e-2": float("nan"), "far_1e-3": 1}}, "far_1e-2 is nan"),
        (
            {"thresholds": {"eer": 0.1, "far_1e-2": -9, "far_1e-3": 0.3}},
            "far_1e-2 is -9, not",
        ),
        ({"thresholds": {"eer": 0.1, "far_1e-2": 0.2, "far_1e-3": 10**400}}, "far_1e-3 is 1000"),
        ({"thresholds": {"eer": 0.1, "far_1e-2": 0.4, "far_1e-3": 0.3}}, "far_1e-3 is below"),
        ({"files": {"a.tflite": {"sha256": "00"}}}, "files must give precision, sha256 and bytes"),
        ({"files": []}, "files is"),
    ],
)
def test_wrong_field_is_named(card, folder, changes, message):
    path = folder / "model_card.json"
    card.write(path)
    change(path, **changes)
    with pytest.raises(ModelError, match=message):
        ModelCard.read(path)


def test_a_card_that_json_cannot_hold_leaves_the_old_one(card, folder):
    path = folder / "model_card.json"
    card.write(path)
    broken = dataclasses.replace(card, thresholds={"eer": float("nan")})
    with pytest.raises(ValueError):
        broken.write(path)
    assert ModelCard.read(path) == card


def test_channels_are_written_for_colour_only(folder, card):
    path = folder / "model_card.json"
    card.write(path)
    assert "channels" not in json.loads(path.read_text())
    assert ModelCard.read(path).channels == 1
    colour = dataclasses.replace(card, channels=3, segmenter="none", roi_mode="whole")
    colour.write(path)
    assert ModelCard.read(path) == colour


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"channels": 2}, "channels is 2"),
        ({"segmenter": "none"}, "segmenter is none, but the ROI mode aligned needs"),
        ({"roi_mode": "whole"}, "segmenter is opencv, but the ROI mode whole"),
    ],
)
def test_channels_and_segmenters_that_cannot_be(folder, card, changes, problem):
    path = folder / "model_card.json"
    dataclasses.replace(card, **changes).write(path)
    with pytest.raises(ModelError, match=problem):
        ModelCard.read(path)


CARDS = json.loads((FIXTURES / "cards.json").read_text("utf-8"))["cards"]


@pytest.mark.parametrize("case", CARDS, ids=lambda case: json.dumps(case["change"]))
def test_cards_are_accepted_and_refused_as_by_the_android_app(case, tmp_path):
    values = json.loads((FIXTURES / "recognition_card.json").read_text("utf-8"))
    for path, value in case["change"].items():
        *sections, name = path.split(".")
        section = values
        for each in sections:
            section = section[each]
        section[name] = value
        if value is None:
            del section[name]
    (tmp_path / "model_card.json").write_text(json.dumps(values), encoding="utf-8")
    if case["accepted"]:
        ModelCard.read(tmp_path / "model_card.json")
    else:
        with pytest.raises(ModelError, match=case["field"]):
            ModelCard.read(tmp_path / "model_card.json")


def test_scores_are_kept_and_left_out_where_there_are_none(card, folder):
    card.write(folder / "model_card.json")
    assert "score" not in json.loads((folder / "model_card.json").read_text())
    thresholds = {point: float(step) for step, point in enumerate(SCORE_RATES)}
    score = ScoreModel(-4.0, 0.97, 8.0, 0.35, 64.0, thresholds, {"cameras": 28})
    scored = dataclasses.replace(
        card, embedding_size=160, phase=PhaseCodeLayout(96, 12, 2), score=score
    )
    scored.write(folder / "model_card.json")
    assert ModelCard.read(folder / "model_card.json") == scored


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        3,
        {"offset": 10**400},
        {"thresholds": {}},
        {"thresholds": 4},
        {"slope": -1.0},
        {"thresholds_from": {"cameras": float("inf")}},
        {"more": 1},
    ],
)
def test_scores_that_cannot_be_are_refused(card, folder, wrong):
    thresholds = {point: float(step) for step, point in enumerate(SCORE_RATES)}
    score = ScoreModel(-4.0, 0.97, 8.0, 0.35, 64.0, thresholds)
    path = folder / "model_card.json"
    phase = PhaseCodeLayout(96, 12, 2)
    dataclasses.replace(card, embedding_size=160, phase=phase, score=score).write(path)
    if isinstance(wrong, dict) and wrong:
        wrong = dataclasses.asdict(score) | wrong
    change(path, score=wrong)
    with pytest.raises(ModelError, match="score cannot be used"):
        ModelCard.read(path)


def test_scores_need_a_code_of_two_complex_filters(card, folder):
    thresholds = {point: float(step) for step, point in enumerate(SCORE_RATES)}
    score = ScoreModel(-4.0, 0.97, 8.0, 0.35, 64.0, thresholds)
    path = folder / "model_card.json"
    dataclasses.replace(card, score=score).write(path)
    with pytest.raises(ModelError, match="two complex filters"):
        ModelCard.read(path)
