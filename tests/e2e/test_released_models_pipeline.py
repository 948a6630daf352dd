"""The recipe of the released model, shortened, through the command that a user types."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from launchers import PIPELINES, launch

from iris_tf.config.release_recipe import FinishRecipe
from iris_tf.imaging.images import read_image
from iris_tf.matching.matcher import Matcher
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.phase_code import with_phase
from iris_tf.recognition.open_model import open_model
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder
from iris_tf.training.finishing import finish
from iris_tf.training.run_folder import RunFolder

SHORTER = [
    "strips={identities: 24, views: 2, validation: 6}",
    "scores={sites: 2, eyes: 12, images: 2}",
    "models.start.epochs=1",
    "models.alike.epochs=1",
    "models.mobiiris.epochs=1",
    "training.batch={groups: 8, images_per_identity: 2, steps_per_epoch: 3}",
    "training.network.batchnorm_momentum=0.5",
    # After nine steps all strips look alike to the network; with the statistics of these, what
    # little they differ by would be spread, and the rounding of float16 with it.
    "finish.unplaced=1",  # or they would be recomputed
]


def arguments(folder, *overrides):
    return (
        PIPELINES / "released_models.yaml", f"run={folder / 'run'}", f"out={folder / 'models'}",
        "precisions=[float32, float16]", *overrides,
    )  # fmt: skip


def command(folder, *overrides):
    return launch("released_models.py", *arguments(folder, *overrides))


@pytest.fixture(scope="module")
def release(small_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    (folder / "models").mkdir()
    (folder / "models" / "README.md").write_text("Written by a person.")
    (folder / "models" / "calibration-door.json").write_text("{}")

    def run() -> str:
        finished = command(folder, f"real.eyes={small_images}", "thresholds=eyes", *SHORTER)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return folder, run(), run


def test_files_and_card_belong_together(release):
    folder = release[0] / "models"
    card = ModelCard.beside(folder / "mobiiris_float16.tflite")
    assert set(card.files) == {"mobiiris_float32.tflite", "mobiiris_float16.tflite"}
    assert (card.roi_mode, card.segmenter, card.input_size) == ("unrolled", "network", (64, 512))
    assert "18 synthetic irises" in card.training_data
    assert (folder / "README.md").read_text() == "Written by a person."
    assert (folder / "calibration-door.json").read_text() == "{}"
    strips = sorted((release[0] / "run" / "dataset" / "roi").rglob("*-0.png"))
    strips = np.stack([read_image(path).pixels for path in strips])
    strip = strips[0]
    expected = embed_rois(load_embedding_model(folder / "mobiiris.keras"), strip[None])[0]
    # The release is the mean of what was trained, finished by one strip of each iris that taught.
    models = [
        load_embedding_model(RunFolder(release[0] / "run" / name).best)
        for name in ("alike", "mobiiris")
    ]
    alone = embed_rois(models[1], strip[None])[0]
    settings = FinishRecipe(coarse=0.5, whitening=0.1)
    finished = finish(models, [1, 1], strips[:18], settings)
    difference = np.abs(expected - embed_rois(finished, strip[None])[0]).max()
    assert difference < 0.1 * np.abs(expected - alone).max()
    assert (
        "averaged (alike 0.5, mobiiris 0.5); low-frequency contrast weakened to 0.5; embeddings"
        in (card.training_data)
    )
    exported, layout = with_phase(load_embedding_model(folder / "mobiiris.keras"), 0.667)
    assert (card.phase, card.embedding_size) == (layout, exported.output_shape[-1])
    expected = embed_rois(exported, strip[None])[0]
    run = open_model(release[0] / "run" / "finished" / "mobiiris")
    assert run.matcher == Matcher(layout)
    np.testing.assert_allclose(run.embed([strip])[0], expected, atol=1e-5)
    for precision in ("float32", "float16"):
        found = TFLiteEmbedder(folder / f"mobiiris_{precision}.tflite").embed([strip])[0]
        assert np.dot(found, expected) > 0.9999


def test_the_size_is_the_papers(release):
    card = ModelCard.read(release[0] / "models" / "model_card.json")
    megabytes = {file.precision: file.bytes / 2**20 for file in card.files.values()}
    assert megabytes["float32"] <= 12
    assert megabytes["float16"] <= 6


def test_real_eyes_are_measured_as_they_are_and_worse(release):
    card = ModelCard.read(release[0] / "models" / "model_card.json")
    rows = card.metrics["real eyes, all pairs"]["eyes"]
    plain = [rows[f"as it is, {precision}"] for precision in ("float32", "float16")]
    assert len(rows) >= 8  # and six that are worse
    for row in rows.values():
        assert 0 <= row["eer"] <= 1
        # 12 persons, 2 eyes, 4 images: at most 24 * 6 genuine pairs.
        assert row["genuine"] <= 144
        assert row["genuine"] + row["impostor"] == row["images"] * (row["images"] - 1) / 2
    # One comparison of a hundred and more may fall on the other side.
    assert plain[0]["eer"] == pytest.approx(plain[1]["eer"], abs=0.007)
    assert card.thresholds_from["dataset"] == "eyes"
    assert card.thresholds_from["genuine_comparisons"] == plain[0]["genuine"]
    stored = json.loads((release[0] / "run" / "real.json").read_text())
    assert stored["sets"]["eyes"] == rows
    assert "eyes, all together, float16" in release[1]


def test_a_second_run_repeats_nothing(release):
    folder, first, run = release
    trained = folder / "run" / "mobiiris" / "checkpoints" / "best.keras"
    before = trained.stat().st_mtime_ns
    assert run() == first
    assert trained.stat().st_mtime_ns == before


def test_figures_stay_in_the_card_of_a_call_without_the_eyes(release):
    folder = release[0]
    card = folder / "models" / "model_card.json"
    before = ModelCard.read(card)
    finished = command(folder, *SHORTER)
    assert finished.returncode == 0, finished.stderr
    assert "eyes, all together, float16" in finished.stdout
    after = ModelCard.read(card)
    assert (after.metrics, after.files) == (before.metrics, before.files)
    assert after.thresholds_from["dataset"] != "eyes"  # the call did not ask for these


def test_eyes_that_are_not_there_are_missed_at_once(tmp_path):
    program = [sys.executable, PIPELINES / "released_models.py"]
    finished = subprocess.run(
        [*program, *arguments(tmp_path, f"real.mine={tmp_path / 'none'}")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 2
    assert str(tmp_path / "none") in finished.stderr
    assert not (tmp_path / "run").exists()


def test_eyes_of_too_few_subjects_are_refused_before_anything_is_generated(small_images, tmp_path):
    for subject in sorted(path for path in small_images.iterdir() if path.is_dir())[:2]:
        shutil.copytree(subject, tmp_path / "eyes" / subject.name)
    finished = command(tmp_path, f"real.eyes={tmp_path / 'eyes'}")
    assert finished.returncode == 2
    assert "2 subjects cannot be split" in finished.stderr.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_models_is_not_replaced(tmp_path):
    other = tmp_path / "models" / "other"
    other.mkdir(parents=True)
    finished = command(tmp_path)
    assert finished.returncode == 2
    assert f"{tmp_path / 'models'}: holds other" in finished.stderr
    assert other.is_dir()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("strips", "batch", "has"),
    [
        ("{identities: 24, views: 2, validation: 7}", "groups: 16", "1"),  # 17 are 16 and 1
        ("{identities: 40, views: 2, validation: 8}", "groups: 136", "16"),
    ],
)
def test_sites_too_small_for_a_batch_are_refused_before_anything_is_drawn(
    tmp_path, strips, batch, has
):
    finished = command(
        tmp_path, f"strips={strips}",
        f"training.batch={{{batch}, images_per_identity: 2, steps_per_epoch: 3}}",
    )  # fmt: skip
    assert finished.returncode != 0
    assert "Traceback" not in finished.stderr
    message = finished.stderr.replace("\n", " ")
    assert f"in sites of 16, the last site has only {has}; choose other `strips`" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["finish.average={other: 1.0}"], "names other, which is not one of `models`"),
        (["models.alike.network={embedding_size: 64}"], "alike has another network than mobiiris"),
        (
            ["training.network.normalization=imagenet", "training.network.phase=0"],
            "mobiiris has no local contrast",
        ),
        (["training.network.normalization=imagenet"], "phase needs `normalization: local_"),
        (
            ["models.alike.network.pooling=average", "models.mobiiris.network.pooling=average"],
            "mobiiris pools without weights",
        ),
        (["finish.whitening=0.6"], "finish.whitening"),
    ],
)
def test_what_cannot_be_finished_is_refused_before_anything_is_drawn(tmp_path, overrides, says):
    finished = command(tmp_path, *overrides)
    assert finished.returncode != 0
    assert "Traceback" not in finished.stderr
    assert says in finished.stderr.replace("\n", " ")
    assert not (tmp_path / "run").exists()
