"""From Python, the figures are those of the command line."""

import json
import shutil

import numpy as np
import pytest

from iris_tf import (
    IrisRecognizer,
    evaluate,
    evaluate_embeddings,
    prepare,
    read_manifest,
)
from iris_tf.matching.matcher import Matcher
from iris_tf.support.errors import ArgumentError, ModelError
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.tflite.released_models import released_model


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    synthesize(folder / "eyes", 4, 3, seed=11, jobs=1)
    return prepare(folder / "eyes", folder / "dataset", roi_mode="unrolled", jobs=1)


@pytest.fixture(scope="module")
def rows(dataset):
    return read_manifest(dataset.manifest)


@pytest.fixture(scope="module")
def recognizer():
    return IrisRecognizer()


@pytest.fixture(scope="module")
def embeddings(recognizer, dataset, rows):
    return recognizer.embed([dataset.folder / row.roi for row in rows], kind="roi")


@pytest.fixture
def printed(run_cli, dataset, tmp_path):
    """Figures that `iris-tf evaluate` writes."""
    status, out, err = run_cli(
        "evaluate", "--model", released_model("mobiiris"), "--manifest", dataset.manifest,
        "--split", "all", "--out", tmp_path, "--latency-runs", 0, "--occlusion-eyes", 0,
        "--resamples", 50,
    )  # fmt: skip
    assert status == 0, err
    assert out.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"
    return json.loads((tmp_path / "metrics.json").read_text("utf-8"))


def d_prime(similarities, rows):
    """Distance of the means over the root mean square of the standard deviations."""
    identity = np.array([row.identity for row in rows])
    first, second = np.triu_indices(len(rows), 1)
    scores = similarities[first, second].astype(float)
    same = identity[first] == identity[second]
    genuine, impostor = scores[same], scores[~same]
    spread = np.sqrt((genuine.var() + impostor.var()) / 2)
    return (genuine.mean() - impostor.mean()) / spread


def test_figures_equal_the_command_line_s(printed, recognizer, embeddings, dataset, rows):
    of_embeddings = evaluate_embeddings(embeddings, rows, resamples=50).metrics
    assert of_embeddings.to_json() == printed["evaluation"]
    result = evaluate(released_model("mobiiris"), dataset.manifest, split="all", resamples=50)
    assert result.first.metrics == of_embeddings
    # d' of the scores that `scores` gives; inconclusive pairs count as -16.
    right = d_prime(np.maximum(recognizer.scores(embeddings, embeddings), -16.0), rows)
    assert of_embeddings.values["d_prime"] == pytest.approx(right, rel=1e-3)


def test_figures_by_similarity(recognizer, embeddings, dataset, rows, run_cli, tmp_path):
    model = released_model("mobiiris")
    result = evaluate(model, dataset.manifest, split="all", resamples=0, by_similarity=True)
    metrics = result.first.metrics
    assert metrics.scores is None
    matcher = Matcher(recognizer.matcher.layout)
    assert metrics == evaluate_embeddings(embeddings, rows, resamples=0, matcher=matcher).metrics
    status, out, _ = run_cli(
        "evaluate", "--model", model, "--manifest", dataset.manifest, "--split", "all", "--out",
        tmp_path, "--latency-runs", 0, "--occlusion-eyes", 0, "--resamples", 1, "--by-similarity",
    )  # fmt: skip
    written = json.loads((tmp_path / "metrics.json").read_text("utf-8"))["evaluation"]
    assert status == 0 and "by score" not in out
    assert written["metrics"] == metrics.to_json()["metrics"] and "scores" not in written
    # d' of the scores that `similarities` gives; that of the plain cosine is another.
    right = d_prime(recognizer.similarities(embeddings, embeddings), rows)
    assert metrics.values["d_prime"] == pytest.approx(right, rel=1e-3)
    vectors = np.asarray(embeddings)
    assert abs(d_prime(vectors @ vectors.T, rows) - right) > 1


def test_arrays_are_refused_rather_than_compared_wrongly(recognizer, embeddings, rows):
    with pytest.raises(ArgumentError, match=r"give .*the matcher"):
        evaluate_embeddings(np.asarray(embeddings), rows)
    explicit = evaluate_embeddings(
        np.asarray(embeddings), rows, resamples=0, matcher=recognizer.matcher
    )
    assert explicit.metrics.eer == evaluate_embeddings(embeddings, rows, resamples=0).metrics.eer


def test_embeddings_of_another_model_are_not_compared(recognizer, embeddings, released_float32):
    other = IrisRecognizer(released_float32)
    with pytest.raises(ModelError, match="The second set of embeddings was made by another model"):
        other.similarities(other.embed([]), embeddings)


def test_nothing_is_written_without_a_folder(dataset, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = sorted(dataset.folder.rglob("*"))
    evaluate([released_model("mobiiris")], [dataset.manifest], split="all", resamples=0)
    assert not list(tmp_path.iterdir())
    assert sorted(dataset.folder.rglob("*")) == before


def test_with_a_folder_the_report_is_written(dataset, tmp_path):
    model = str(released_model("mobiiris"))
    result = evaluate(model, str(dataset.manifest), tmp_path, split="all", resamples=0)
    written = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert written["evaluation"] == result.first.metrics.to_json()
    assert (tmp_path / "report.html").is_file()
    # Nothing is known about this dataset, so there is no report, not even that of another.
    alone = tmp_path / "alone" / "manifest.csv"
    alone.parent.mkdir()
    shutil.copy(dataset.manifest, alone)
    shutil.copytree(dataset.folder / "roi", alone.parent / "roi")
    evaluate(model, alone, tmp_path, split="all", resamples=0)
    assert not (tmp_path / "report.html").exists()
