"""Stages of the segmenter's recipe, with stand-ins for the work."""

import json
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture
def release(monkeypatch, tmp_path):
    """Runs the recipe with another `out`; returns which work was done."""
    monkeypatch.syspath_prepend(str(PIPELINES))
    import iris_segmenter

    import iris_tf.training.train_segmenter
    from iris_tf.pipelines import segmenter_stages

    done = []

    def train(recipe):
        done.append("train")
        last = iris_tf.training.train_segmenter.segmenter_runs(recipe)[-1].model
        last.parent.mkdir()
        last.write_text("network")

    def export(recipe, run, out):
        done.append("export")
        out.mkdir(exist_ok=True)
        (out / "iris_segmenter_float16.tflite").write_text("of " + run.model.read_text())

    def score(file, recipe):
        done.append("score")
        return {}

    def write_card(recipe, runs, file, figures):
        done.append("card")
        file.with_name("model_card.json").write_text(json.dumps({"of": file.read_text()}))

    monkeypatch.setattr(iris_tf.training.train_segmenter, "train_segmenter", train)
    for stand_in in (export, score, write_card):
        monkeypatch.setattr(segmenter_stages, stand_in.__name__, stand_in)
    monkeypatch.setattr(segmenter_stages, "show", lambda figures, file: None)

    def release(out):
        done.clear()
        recipe = PIPELINES / "iris_segmenter.yaml"
        iris_segmenter.main(recipe, [f"run={tmp_path / 'run'}", f"out={tmp_path / out}"])
        return list(done)

    return release


def test_another_folder_gets_file_and_card_without_a_training(release, tmp_path):
    assert release("here") == ["train", "export", "score", "card"]
    assert release("here") == []
    # Where an older network lies, it must not be taken for this one.
    other = tmp_path / "there"
    other.mkdir()
    for name in ("iris_segmenter_float16.tflite", "model_card.json"):
        (other / name).write_text("of an older network")
    assert release("there") == ["export", "card"]
    assert (other / "iris_segmenter_float16.tflite").read_text() == "of network"
    assert json.loads((other / "model_card.json").read_text()) == {"of": "of network"}
    assert release("there") == []
    assert release("here") == ["export", "card"]
