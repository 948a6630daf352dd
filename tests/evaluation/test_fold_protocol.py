"""Folds from prepared images and from sets of pairs, by a model whose scores are known."""

import json
import pickle
import types

import cv2
import numpy as np
import pytest

from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.evaluate_model import EvaluationRequest, read_inputs
from iris_tf.evaluation.evaluation_result import EvaluationResult
from iris_tf.evaluation.fold_protocol import FoldedPairLists, evaluate_pair_set
from iris_tf.matching.matcher import Matcher
from iris_tf.report.summary import fold_summary
from iris_tf.support.errors import EvaluationError


class MeanColour:
    """Embeds a crop as the direction of its mean colour."""

    input_size, channels, embedding_size, matcher = (8, 6), 3, 3, Matcher()

    def embed(self, rois):
        means = np.array([roi.reshape(-1, 3).mean(axis=0) for roi in rois])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def encoded(rgb):
    return cv2.imencode(".png", np.full((8, 6, 3), rgb[::-1], np.uint8))[1].tobytes()


def test_a_set_of_pairs(tmp_path):
    red, orange, blue = (200, 0, 0), (200, 100, 0), (0, 0, 200)
    # In every fold a genuine pair of cosine 0.894 and an impostor one of 0; in the last, the
    # impostors are alike.
    images = [encoded(c) for _ in range(9) for c in (red, orange, red, blue)]
    images += [encoded(c) for c in (red, orange, blue, blue)]
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps((images, [True, False] * 10)))
    found = evaluate_pair_set(path, MeanColour())
    assert found["comparisons"] == 20
    assert found["accuracies"] == [1.0] * 9 + [0.5]
    assert found["accuracy"] == pytest.approx(0.95)
    assert found["standard_error"] == pytest.approx(0.05)  # sqrt(0.225 / 9) / sqrt(10)
    assert (found["far"], found["frr"]) == (pytest.approx(0.1), 0.0)
    assert found["auc"] == pytest.approx(0.9)  # of 10 x 10, the ten with the last impostor fail
    assert found["sweep"]["accuracy"]["best"] == pytest.approx(0.95)
    lines = list(fold_summary("m", found))
    assert "10 folds of 20 comparisons: accuracy 95.00 % (standard error 5.00)" in lines[0]
    assert "thresholds 0.30 to 0.70: accuracy 95.0 %, 95.0 %" in lines[1]


def test_folds_of_a_list_by_hand(tmp_path):
    """Genuine and impostor cosines of three folds of two and two comparisons."""
    cosines = (
        ((0.9, 0.8), (0.1, 0.2)),
        ((0.9, 0.58), (0.2, 0.1)),
        ((0.8, 0.7), (0.5, 0.1)),
    )
    lines, names, vectors = ["3 2"], [], []
    for fold, (genuine, impostor) in enumerate(cosines):
        for n, cosine in enumerate((*genuine, *impostor)):
            first, second = f"A{fold}{n}", f"B{fold}{n}"
            if n < 2:
                lines.append(f"{first} 1 2")
                names += [(first, 1), (first, 2)]
            else:
                lines.append(f"{first} 1 {second} 1")
                names += [(first, 1), (second, 1)]
            vectors += [(1.0, 0.0), (cosine, np.sqrt(1 - cosine**2))]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    rows = [
        ManifestRow(f"{name}/{name}_{n:04d}.jpg", "folder", name, "", name, str(n))
        for name, n in names
    ]
    listed = FoldedPairLists.read_folds(tmp_path / "pairs.txt", rows, [])
    found = listed.fold_figures(np.array(vectors), Matcher())
    # Fold 0, on the others: halfway between 0.5 and 0.58, 0.54, which is right four times.
    # Fold 1: halfway between 0.5 and 0.7, 0.6, which rejects 0.58.
    # Fold 2: halfway between 0.2 and 0.58, 0.39, which accepts 0.5.
    assert found["accuracies"] == [1.0, 0.75, 0.75]
    assert found["accuracy"] == pytest.approx(5 / 6)
    # Deviations 1/6, -1/12 and -1/12: variance 1/48 (of two degrees of freedom), over three folds.
    assert found["standard_error"] == pytest.approx(1 / 12)
    assert (found["far"], found["frr"]) == (pytest.approx(1 / 6), pytest.approx(1 / 6))


def test_comparisons_of_failed_images_are_left_out():
    embeddings = np.eye(3)[[0, 0, 1, 0, 0, 1]].astype(np.float32)
    genuine, impostor = np.array([[0, 1], [3, 4], [0, 6]]), np.array([[0, 2], [3, 5], [6, 2]])
    folds = np.array([0, 1, 1])
    found = FoldedPairLists(genuine, impostor, folds, folds).fold_figures(embeddings, Matcher())
    assert (found["comparisons"], found["accuracy"]) == (4, 1.0)


def test_lists_and_folds_exclude_each_other():
    request = EvaluationRequest([], [], pairs=("a", "b"), folds="c")
    with pytest.raises(EvaluationError, match="leave out one"):
        read_inputs(request)
    with pytest.raises(EvaluationError, match="leave out the protocol"):
        read_inputs(EvaluationRequest([], [], folds="c", protocol="same-eye"))


@pytest.fixture
def faces(tmp_path):
    """Three names with two images each, prepared as a folder of faces."""
    from iris_tf.preparation.prepare_dataset import prepare

    for name, colour in (("Ann", 60), ("Bob", 200), ("Cid", 130)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for number in (1, 2):
            pixels = np.random.default_rng(colour + number).integers(0, 55, (64, 64, 3))
            file = tmp_path / "faces" / name / f"{name}_{number:04d}.png"
            cv2.imwrite(str(file), (pixels + colour).astype(np.uint8))
    options = {"segmenter": "none", "roi_mode": "whole", "channels": 3, "jobs": 1}
    return prepare(tmp_path / "faces", tmp_path / "data", **options).folder


def test_a_whole_evaluation(faces, tmp_path, tiny, run_cli):
    from iris_tf.networks.embedding_model import build_embedding_model

    (tmp_path / "pairs.txt").write_text(
        "2 1\nAnn 1 2\nAnn 1 Bob 1\nBob 1 2\nAnn 2 Bob 2\n", "utf-8"
    )
    model = tmp_path / "m.keras"
    build_embedding_model(tiny, (32, 32), 8, channels=3).save(model)
    status, printed, error = run_cli(
        "evaluate", "--model", model, "--manifest", faces / "manifest.csv", "--split", "all",
        "--folds", tmp_path / "pairs.txt", "--out", tmp_path / "out", "--latency-runs", 0,
        "--occlusion-eyes", 0, "--resamples", 5,
    )  # fmt: skip
    assert status == 0, error
    assert "2 folds of 4 comparisons" in printed
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert EvaluationResult.from_json(content).first.folds == content["folds"]
    assert len(content["folds"]["accuracies"]) == 2


def test_a_set_of_pairs_from_the_command_line(tmp_path, tiny, run_cli):
    from iris_tf.networks.embedding_model import build_embedding_model

    model, pairs = tmp_path / "m.keras", tmp_path / "x.bin"
    build_embedding_model(tiny, (32, 32), 8, channels=3).save(model)
    rng = np.random.default_rng(0)
    images = [encoded(tuple(int(v) for v in rng.integers(0, 256, 3))) for _ in range(40)]
    pairs.write_bytes(pickle.dumps((images, [True, False] * 10)))
    status, printed, error = run_cli("evaluate-pairs", model, pairs, "--out", tmp_path / "x.json")
    assert status == 0, error
    assert "10 folds of 20 comparisons" in printed
    assert json.loads((tmp_path / "x.json").read_text())["comparisons"] == 20
    status, _, error = run_cli("evaluate-pairs", model, pairs, "--out", tmp_path / "x.json")
    assert status == 0, error  # an earlier output may be replaced
    before = pairs.read_bytes()
    status, _, error = run_cli("evaluate-pairs", model, pairs, "--out", pairs)
    assert (status, pairs.read_bytes()) == (2, before)
    assert "is no earlier output of this command" in error
    pairs.write_bytes(pickle.dumps(types.SimpleNamespace()))
    status, _, error = run_cli("evaluate-pairs", model, pairs)
    assert status == 2
    assert "wants to run" in error
