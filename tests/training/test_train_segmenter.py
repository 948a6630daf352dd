"""Training, export and use of a small segmentation network."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.config.segmenter_recipe import SegmenterRecipe, SegmenterStage
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.support.errors import TrainingError
from iris_tf.synthetic.segmentation_samples import (
    COVERAGE_STEPS,
    draw_samples,
)
from iris_tf.training.optimizer import OwnStepsAdamW
from iris_tf.training.train_segmenter import (
    SampleStore,
    mask_overlap,
    segmenter_runs,
    train_segmenter,
    unpack,
    write_sample_files,
)

LOOKS = ("whole", "close")


def _recipe(run, fine_rate=1e-3):
    values = {
        "run": str(run),
        "out": str(run / "models"),
        "parts": {
            "rough": SegmenterStage(height=96, eyes=12, epochs=2),
            "fine": SegmenterStage(144, 8, ["whole", "last", "last"], 1, fine_rate),
        },
        "validation_eyes": 2,
        "batch": 8,
        "warm_steps": 2,
    }
    return SegmenterRecipe(**values)


def _first_part(run):
    recipe = _recipe(run)
    del recipe.parts["fine"]
    return recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    recipe = _recipe(tmp_path_factory.mktemp("segmenter") / "run")
    train_segmenter(recipe)
    return recipe


@pytest.fixture
def run(recipe):
    return segmenter_runs(recipe)[-1]


def _weights(run):
    return keras.saving.load_model(run.model, compile=False).get_weights()


def test_history_has_loss_and_overlaps(recipe):
    rows = segmenter_runs(recipe)[0].history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"]
    for name in CHANNELS:
        assert 0.0 <= rows[1][f"iou_{name}"] <= 1.0


def test_interrupted_training_ends_with_the_same_weights(recipe, tmp_path):
    interrupted = _first_part(tmp_path / "run")
    script = (
        "from iris_tf.config.segmenter_recipe import SegmenterStage, SegmenterRecipe\n"
        "from iris_tf.training.train_segmenter import train_segmenter\n"
        f"train_segmenter(SegmenterRecipe(**{vars(interrupted)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    [state] = segmenter_runs(interrupted)
    deadline = time.monotonic() + 240
    while not state.history() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(state.history()) == 1  # killed before the second
    resumed = train_segmenter(interrupted)
    assert [row["epoch"] for row in resumed.history()] == [1, 2]
    uninterrupted = segmenter_runs(recipe)[0]
    for one, other in zip(_weights(uninterrupted), _weights(resumed), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_network_is_loaded_with_its_optimiser(run):
    loaded = keras.saving.load_model(run.model)
    assert isinstance(loaded.optimizer, OwnStepsAdamW)


def test_a_training_of_another_version_is_refused(recipe, tmp_path):
    shutil.copytree(recipe.run, tmp_path / "run")
    longer = _first_part(tmp_path / "run")
    longer.parts["rough"].epochs = 3
    [state] = segmenter_runs(longer)
    file = state.state / "variables.npz"
    with np.load(file) as stored:
        np.savez(file, *[stored[name] for name in stored.files][:-1])
    with pytest.raises(TrainingError, match="another version started this training"):
        train_segmenter(longer)


def test_finished_training_is_not_repeated(recipe, run):
    before = run.model.read_bytes()
    assert train_segmenter(recipe).model.read_bytes() == before


def test_a_kill_between_network_and_state_repeats_the_epoch(recipe, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def kill(*_):
        raise Killed

    killed = _first_part(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("iris_tf.training.train_segmenter.save_variables", kill)
        with pytest.raises(Killed):
            train_segmenter(killed)
    [first] = segmenter_runs(killed)
    assert first.model.is_file()
    assert not first.history()
    uninterrupted = segmenter_runs(recipe)[0]
    repeated = train_segmenter(killed)
    for one, other in zip(_weights(uninterrupted), _weights(repeated), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_part_starts_from_the_one_before_at_its_own_size_with_other_eyes(recipe, tmp_path):
    shutil.copytree(Path(recipe.run) / "rough", tmp_path / "run" / "rough")
    # So slow that it does not leave where it starts.
    recipe = _recipe(tmp_path / "run", fine_rate=1e-9)
    train_segmenter(recipe)
    rough, fine = segmenter_runs(recipe)
    assert [row["epoch"] for row in fine.history()] == [1]
    before, after = (
        keras.saving.load_model(run.model, compile=False).trainable_weights for run in (rough, fine)
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # The second number seeds the eyes.
    assert np.load(rough.samples / "lessons-0-0000000-12.npy").shape == (24, 96, 128, 3)
    assert np.load(fine.samples / "lessons-0-0000001-8.npy").shape == (24, 144, 192, 3)


def test_unpacked_samples_are_the_packed_ones():
    packed = draw_samples(5, 0, 1, 96, ["close"])
    images, targets = unpack(tf.constant(packed))
    np.testing.assert_array_equal(images[..., 0], packed[..., 0])
    expected = [packed[..., 1] & 15, packed[..., 1] >> 4, packed[..., 2] & 15, packed[..., 2] >> 4]
    np.testing.assert_allclose(
        targets, np.stack(expected, axis=-1) / COVERAGE_STEPS, rtol=1e-6, atol=1e-7
    )


def test_files_are_drawn_once_and_hold_what_they_say(tmp_path):
    files = write_sample_files(tmp_path, seed=1, eyes=3, height=96, looks=LOOKS, jobs=1)
    stamps = [file.stat().st_mtime_ns for file in files]
    assert write_sample_files(tmp_path, seed=1, eyes=3, height=96, looks=LOOKS, jobs=1) == files
    assert [file.stat().st_mtime_ns for file in files] == stamps
    more = write_sample_files(tmp_path, seed=1, eyes=2, height=96, looks=LOOKS, jobs=1, first=9)
    store = SampleStore([*files, *more])
    assert len(store) == 10
    np.testing.assert_array_equal(
        store.take(np.array([7, 0])), np.stack([np.load(more[0])[1], np.load(files[0])[0]])
    )


def test_files_that_were_cut_short_are_drawn_again(tmp_path):
    [file] = write_sample_files(tmp_path, seed=1, eyes=1, height=96, looks=LOOKS, jobs=1)
    whole = file.read_bytes()
    for damaged in (b"", whole[:50], whole[:-1], whole.replace(b"96, 128", b"92, 128")):
        file.write_bytes(damaged)
        write_sample_files(tmp_path, seed=1, eyes=1, height=96, looks=LOOKS, jobs=1)
        assert file.read_bytes() == whole


def test_overlap_of_what_no_lesson_shows_is_not_known():
    class Nothing:
        def __call__(self, images, training):
            return -tf.ones((*images.shape[:3], len(CHANNELS)))

    assert set(mask_overlap(Nothing(), np.zeros((2, 24, 32, 3), np.uint8)).values()) == {None}


def test_overlap_of_perfect_and_of_half_masks():
    packed = np.zeros((2, 192, 256, 3), np.uint8)
    packed[:, :96, :, 1] = 15 | 15 << 4
    packed[:, :96, :, 2] = 15 | 15 << 4

    def all_of_it(images, training):
        return tf.ones((len(images), 192, 256, 4))

    found = mask_overlap(all_of_it, packed)
    assert found == {f"iou_{name}": pytest.approx(0.5) for name in CHANNELS}


def test_export_has_the_masks_of_keras_and_a_card(run, tmp_path, monkeypatch):
    from iris_tf.exporting import export_segmenter as export
    from iris_tf.exporting.export_segmenter import export_segmenter, write_segmenter_card
    from iris_tf.segmentation.network_segmenter import NetworkSegmenter
    from iris_tf.support.errors import ExportError

    model = keras.saving.load_model(run.model, compile=False)
    images = draw_samples(6, 0, 1, 144, ["whole", "last"])[..., 0]
    alike = export_segmenter(model, tmp_path, images).stat().st_size
    monkeypatch.setattr(export, "WHOLE_HEIGHT", 96)
    path = export_segmenter(model, tmp_path, images)
    assert path.stat().st_size < 1.05 * alike  # weights are in the file once
    card = json.loads(write_segmenter_card(path, "float16", {"metrics": {}}).read_text())
    assert card["files"][path.name]["bytes"] == path.stat().st_size < 2**20
    assert (card["input"]["size"], card["input"]["whole_size"]) == ([144, 192], [96, 128])
    assert NetworkSegmenter(path).version.endswith(card["files"][path.name]["sha256"][:12])

    wrong = keras.Model(model.input, model.output + float("nan"))
    with pytest.raises(ExportError, match="masks differ"):
        export_segmenter(wrong, tmp_path / "wrong", images)
    assert not list((tmp_path / "wrong").glob("*"))


def test_the_pipeline_exports_although_the_samples_are_gone(recipe, tmp_path):
    from iris_tf.pipelines.segmenter_stages import export

    run = segmenter_runs(recipe)[-1]
    alone = SimpleNamespace(model=shutil.copy(run.model, tmp_path), samples=tmp_path / "none")
    export(recipe, alone, tmp_path / "out")
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".tflite"]
