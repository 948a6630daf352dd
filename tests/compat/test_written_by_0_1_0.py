"""Everything that version 0.1.0 wrote still loads and gives the numbers that it gave then.

``tests/data/written_by_0_1_0/README.md`` says how the files were made.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "data" / "written_by_0_1_0"
EXPECTED = json.loads((DATA / "expected.json").read_text("utf-8"))
STUDENT = Path("pipeline/student/models/student_float32.tflite")
STRIPS = Path("strips/strips_float16.tflite")
EYES = ("eyes/003/L/S5003L00.jpg", "eyes/003/L/S5003L01.jpg", "eyes/004/R/S5004R00.jpg")
TIME_OF_CHANGE = 10**18  # of the eyes, ns; dataset.json depends on it
SCHEMAS = {
    "demo": "pipeline_recipe.PipelineRecipe",
    "mobiiris_paper": "pipeline_recipe.PipelineRecipe",
    "paper_tables_demo": "pipeline_recipe.PipelineRecipe",
    "student": "training_recipe.TrainRecipe",
    "released_models": "release_recipe.ReleaseRecipe",
    "iris_segmenter": "segmenter_recipe.SegmenterRecipe",
}


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the files, as if they had been written here; the working folder of the test."""
    from iris_tf.support.machine import machine_description

    folder = tmp_path / "old"
    shutil.copytree(DATA, folder)
    for path in folder.glob("eyes/*/*/*"):
        os.utime(path, ns=(TIME_OF_CHANGE, TIME_OF_CHANGE))
    for path in folder.rglob("dataset.json"):
        _edit(path, lambda values: values["settings"].update(images=str(folder / "eyes")))
    cpu = machine_description()["cpu"]
    _edit(folder / "pipeline/.stages/measure-latency.json", lambda v: v.update(machine=cpu))
    monkeypatch.chdir(folder)
    return folder


def _edit(path, change):
    values = json.loads(path.read_text("utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def _states(folder):
    """Content and time of change of each file."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _decision(found):
    return {
        "similarity": pytest.approx(found.similarity, abs=1e-5),
        "threshold": pytest.approx(found.threshold, abs=1e-9),
        "same_eye": found.same_eye,
    }


def _ranking(found):
    return [
        [match.identity, pytest.approx(match.similarity, abs=1e-5), match.image, match.same_eye]
        for match in found.matches
    ]


# -- Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [m for m in EXPECTED["embeddings"] if m.endswith(".keras")])
def test_keras_models_give_the_same_embeddings(old, model):
    import iris_tf.networks.phase_code  # noqa: F401  (registers its layers)
    from iris_tf.imaging.images import read_image, resize_roi
    from iris_tf.networks.embed_rois import embed_rois, load_embedding_model

    expected = EXPECTED["embeddings"][model]
    network = load_embedding_model(model)
    crops = [
        resize_roi(read_image(path).pixels, network.input_shape[1:3]) for path in expected["crops"]
    ]
    found = embed_rois(network, np.stack(crops))
    np.testing.assert_allclose(found, expected["embeddings"], atol=1e-5)


@pytest.mark.parametrize("model", [m for m in EXPECTED["embeddings"] if m.endswith(".tflite")])
def test_exported_models_give_the_same_embeddings(old, model):
    from iris_tf import IrisRecognizer

    expected = EXPECTED["embeddings"][model]
    found = IrisRecognizer(model).embed(expected["crops"], "roi")
    # Another processor may round an 8-bit activation to its neighbour.
    atol = 5e-3 if "int8" in model else 1e-5
    np.testing.assert_allclose(found, expected["embeddings"], atol=atol)


def test_model_cards_say_what_their_json_says(old):
    from iris_tf.tflite.model_card import ModelCard

    for path in (STUDENT, STRIPS):
        values = json.loads((path.parent / "model_card.json").read_text("utf-8"))
        card = ModelCard.beside(path)
        for name in ("name", "roi_mode", "segmenter", "thresholds", "metrics", "weights_sha256"):
            assert getattr(card, name) == values.get(name), name
        for name, file in values["files"].items():
            # What 0.1.0 called int8 is 8-bit weights alone.
            renamed = {"int8": "dynamic8"}.get(file["precision"], file["precision"])
            assert vars(card.files[name]) == file | {"precision": renamed}


def test_a_run_exports_the_same_model_again(old, run_cli, tiny):
    from iris_tf import IrisRecognizer

    shutil.rmtree(STUDENT.parent)
    status, _, err = run_cli("export", "pipeline/student", "--precision", "float32")
    assert status == 0, err
    expected = EXPECTED["embeddings"][str(STUDENT)]
    recognizer = IrisRecognizer(STUDENT)
    found = recognizer.embed(expected["crops"], "roi")
    np.testing.assert_allclose(found, expected["embeddings"], atol=1e-5)
    threshold = EXPECTED["images"]["threshold"]
    assert recognizer.threshold("far_1e-2") == pytest.approx(threshold, abs=1e-5)


# -- Templates, galleries, calibrations -----------------------------------------------------------


def test_templates_compare_as_before(old):
    from iris_tf import IrisRecognizer, Template

    recognizer = IrisRecognizer(STUDENT)
    of_images = Template.load("templates/of_two_images.npz")
    of_a_crop = Template.load("templates/of_a_crop.npz")
    assert of_images.quality is not None and of_a_crop.quality is None
    assert _decision(recognizer.verify(of_images, of_a_crop)) == EXPECTED["templates"]
    # What is enrolled today is compared with what was enrolled then.
    today = recognizer.enroll(EYES[:2])
    assert recognizer.verify(of_images, today).similarity == pytest.approx(1.0, abs=1e-5)
    found = recognizer.verify(recognizer.enroll(EYES[0]), EYES[1])
    assert _decision(found) == EXPECTED["images"]


def test_a_gallery_is_searched_as_before(old):
    from iris_tf import IrisRecognizer
    from iris_tf.matching.gallery import Gallery

    found = IrisRecognizer(STUDENT).identify(EYES[0], Gallery.load("templates/gallery.npz"))
    assert _ranking(found) == EXPECTED["identification"]
    assert found.matches[0].same_eye and not found.matches[-1].same_eye


def test_a_calibration_adapts_as_before(old):
    from iris_tf import IrisRecognizer

    recognizer = IrisRecognizer(STUDENT, calibration="templates/calibration.json")
    assert recognizer.calibration.id == EXPECTED["calibration_id"]
    # The default operating point was far_1e-2 in 0.1.0, and is stricter now.
    found = recognizer.verify(recognizer.enroll(EYES[0]), EYES[2], "far_1e-2")
    assert _decision(found) == EXPECTED["calibrated"]


def test_phase_codes_compare_as_before(old):
    from iris_tf import IrisRecognizer, Template
    from iris_tf.matching.gallery import Gallery

    recognizer = IrisRecognizer(STRIPS)
    probe = "strips/S5003L01.png"
    template = Template.load("strips/template.npz")
    assert _decision(recognizer.verify(template, probe, kind="roi")) == EXPECTED["strips"]
    found = recognizer.identify(probe, Gallery.load("strips/gallery.npz"), kind="roi")
    assert _ranking(found) == EXPECTED["strip_identification"]


# -- Datasets and evaluations ---------------------------------------------------------------------

PREPARE = ("prepare", "--images", "eyes", "--out", "pipeline/dataset", "--segmenter", "opencv",
           "--seed", 4, "--jobs", 1)  # fmt: skip


def test_a_prepared_dataset_is_left_alone(old, run_cli):
    before = _states(old / "pipeline/dataset")
    status, out, err = run_cli(*PREPARE)
    assert status == 0, err
    assert "30 of 34 images cropped, 16 identities" in out
    assert _states(old / "pipeline/dataset") == before


def test_its_journal_spares_a_second_segmentation(old, run_cli, monkeypatch):
    def segment(*_):
        pytest.fail("an image was segmented again")

    monkeypatch.setattr("iris_tf.preparation.prepare_dataset.extract_all", segment)
    dataset = old / "pipeline/dataset"
    for outcome in map(json.loads, (dataset / ".journal/finished.jsonl").open(encoding="utf-8")):
        if outcome["overlay"]:  # the test data leave thumbnails out
            thumbnail = (dataset / "overlays" / outcome["image"]).with_suffix(".jpg")
            thumbnail.parent.mkdir(parents=True, exist_ok=True)
            thumbnail.write_bytes(b"thumbnail")
    sharp = [row for row in _rows(dataset) if float(row["sharpness"]) >= 10]
    status, _, err = run_cli(*PREPARE, "--min-quality", "sharpness=10")
    assert status == 0, err
    assert 0 < len(sharp) < 30 and _rows(dataset) == sharp


def _rows(dataset):
    with open(dataset / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_evaluation_gives_the_same_metrics(old, run_cli):
    status, _, err = run_cli(
        "evaluate", "--model", STUDENT, "--manifest", "pipeline/dataset/manifest.csv",
        "--out", "evaluation", "--latency-runs", 0, "--occlusion-eyes", 0,
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(Path("evaluation/metrics.json").read_text("utf-8"))
    expected = json.loads(Path("pipeline/student/evaluation_float32/metrics.json").read_text())
    for key in expected.keys() - {"machine"}:
        assert _approximate(found[key]) == expected[key], key


def _approximate(value):
    if isinstance(value, dict):
        return {key: _approximate(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_approximate(entry) for entry in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


def test_latency_results_are_imported(old, run_cli):
    out = run_cli("benchmark", "import", "pipeline/latency.json", "--out", "phones")[1]
    assert "2 rows, 0 invalid, 0 not measured" in out


# -- Pipelines, runs, recipes ---------------------------------------------------------------------


def test_a_finished_pipeline_repeats_no_stage_and_reports(old, tiny, capfd):
    from iris_tf.config.load_recipe import load_recipe, recipe_yaml
    from iris_tf.config.pipeline_recipe import PipelineRecipe
    from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline
    from iris_tf.pipelines.stages import Stages

    before = _states(old / "pipeline")
    recipe = load_recipe("pipeline.yaml", PipelineRecipe)
    MobiIrisPipeline(recipe, Stages(Path(recipe.run), recipe_yaml(recipe))).run()
    printed = capfd.readouterr()
    assert printed.err.count("done before, inputs unchanged") == 9
    after = _states(old / "pipeline")
    assert {path: after[path] for path in before} == before
    new = {path.relative_to(old / "pipeline").parts[:2] for path in after.keys() - before.keys()}
    # Version 0.1.0 did not compare students with their teachers.
    later = {("teachers.json",), (".stages", "compare-with-teachers.json")}
    assert new == {("report.html",), ("dataset", "packed")} | later
    assert "29.17" in printed.out  # the student's EER in %


@pytest.mark.parametrize("name", ["stopped_triplet", "stopped_contrastive"])
def test_a_stopped_run_ends_as_an_uninterrupted_one(old, tiny, run_cli, read_history, name):
    import keras

    [first] = read_history(Path(name))
    status, out, err = run_cli("train", "--resume", name)
    assert status == 0, err
    assert f"{name}: 2 epochs" in out
    resumed = read_history(Path(name))
    assert [row["epoch"] for row in resumed] == [1, 2]
    np.testing.assert_equal(resumed[0], first)

    assert run_cli("train", f"{name}.yaml", "run=whole")[0] == 0
    for row, expected in zip(resumed, read_history(Path("whole")), strict=True):
        assert row.keys() == expected.keys()
        for key in row.keys() - {"seconds"}:
            assert row[key] == pytest.approx(expected[key], abs=1e-4, nan_ok=True), key
    # Not the weights: biases before a batch normalisation have no gradient, and drift with the
    # rounding of the processor.
    crops = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 1)).astype(np.float32)
    one, other = (
        keras.models.load_model(f"{run}/checkpoints/last.keras").predict(crops, verbose=0)
        for run in (name, "whole")
    )
    np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_recipe_says_what_it_said(old, name):
    from iris_tf.config.load_recipe import load_recipe
    from iris_tf.training.model_recipes import model_recipes

    shipped = load_recipe(f"recipes/{name}.yaml", _schema(name))
    resolved = load_recipe(f"recipes/{name}.resolved.yaml", _schema(name))
    assert shipped == resolved
    if hasattr(shipped, "models"):
        assert model_recipes(shipped) == model_recipes(resolved)


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - {"student"}))
def test_the_folder_of_a_pipeline_is_its_recipes(old, name):
    from iris_tf.config.load_recipe import load_recipe, recipe_yaml
    from iris_tf.pipelines.stages import Stages

    folder = old / "run"
    folder.mkdir()
    shutil.copy(f"recipes/{name}.resolved.yaml", folder / "recipe.yaml")
    Stages(folder, recipe_yaml(load_recipe(f"recipes/{name}.yaml", _schema(name))))


def _schema(name):
    from importlib import import_module

    module, schema = SCHEMAS[name].split(".")
    return getattr(import_module(f"iris_tf.config.{module}"), schema)


def test_the_old_key_of_a_loss_still_chooses_it(old):
    from iris_tf.config.load_recipe import load_recipe

    triplet, contrastive = (
        load_recipe("stopped_contrastive.yaml", _schema("student"), [f"loss={loss}"])
        for loss in ("triplet", "contrastive")
    )
    assert triplet != contrastive
    assert contrastive == load_recipe("stopped_contrastive/recipe.yaml", _schema("student"))
