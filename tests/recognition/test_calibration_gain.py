import dataclasses
import itertools
import json

import numpy as np
import pytest

from iris_tf.config.names import CARD_NAME, SCORE_RATES
from iris_tf.matching.calibration import Calibration, ImpostorEstimate
from iris_tf.matching.matcher import Matcher
from iris_tf.recognition.calibration_gain import calibrated_scores, held_out_gain
from iris_tf.support.errors import ModelError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import RECOGNITION, released_folder

EYES, IMAGES, SIZE = 60, 3, 24
THRESHOLDS = {"far_1e-2": 0.5, "far_1e-3": 0.7}


@pytest.fixture(scope="module")
def learned():
    """Embeddings of a camera whose strangers are alike in one direction, and the eye on each."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(EYES, 1, SIZE)) + 0.4 * rng.normal(size=(EYES, IMAGES, SIZE))
    vectors[..., 0] += 4.0
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors.reshape(-1, SIZE).astype(np.float32), np.repeat(np.arange(EYES), IMAGES)


def test_before_is_counted_by_a_plain_loop(learned):
    vectors, eyes = learned
    found = held_out_gain(vectors, eyes, True, Matcher(), THRESHOLDS)
    values = {True: [], False: []}
    for i, j in itertools.combinations(range(len(eyes)), 2):
        if eyes[i] % 2 == eyes[j] % 2:  # of one half
            values[eyes[i] == eyes[j]].append(float(vectors[i] @ vectors[j]))
    impostor, genuine = np.array(values[False]), np.array(values[True])
    assert found["impostor_comparisons"] == len(impostor) == 2 * (30 * 29 // 2) * 9
    assert found["genuine_comparisons"] == len(genuine) == EYES * 3
    before = found["before"]
    assert before["fmr"] == pytest.approx({"far_1e-2": (impostor >= 0.5).mean()})
    wanted = {name: (genuine < threshold).mean() for name, threshold in THRESHOLDS.items()}
    assert before["fnmr"] == pytest.approx(wanted)


def test_a_calibration_gains_where_strangers_are_alike(learned):
    found = held_out_gain(*learned, True, Matcher(), THRESHOLDS)
    before, after = found["before"], found["after"]
    assert before["fmr"]["far_1e-2"] > 0.05
    # The thresholds come from the other half of the eyes.
    assert 0.003 < after["fmr"]["far_1e-2"] < 0.03
    assert after["eer"] <= before["eer"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_nothing_is_said_about_genuine_comparisons_without_labels(learned):
    found = held_out_gain(*learned, False, Matcher(), THRESHOLDS)
    assert "genuine_comparisons" not in found
    assert set(found["before"]) == set(found["after"]) == {"fmr"}


def test_few_eyes_are_not_divided(learned):
    vectors, eyes = learned
    assert held_out_gain(vectors[eyes < 19], eyes[eyes < 19], True, Matcher(), THRESHOLDS) == {}
    assert held_out_gain(vectors[eyes < 20], eyes[eyes < 20], True, Matcher(), THRESHOLDS)


@pytest.fixture(scope="module")
def with_codes(learned):
    """The same with phase codes of the released layout, and the released matcher."""
    card = ModelCard.read(released_folder(RECOGNITION) / CARD_NAME)
    vectors, eyes = learned
    codes = np.random.default_rng(5).normal(size=(len(eyes), card.phase.size))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    both = np.concatenate([0.577 * vectors, 0.817 * codes], axis=1)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return both.astype(np.float32), eyes, Matcher.of_card(card)


def test_scores_stay_with_a_learned_component_of_the_camera(with_codes):
    vectors, eyes, matcher = with_codes
    found = calibrated_scores(vectors, eyes, matcher)
    facts = {"learned_from": 0.35, "thresholds_from": {}}
    assert dataclasses.replace(found, **facts) == dataclasses.replace(matcher.score_model, **facts)
    pairs = EYES * (EYES - 1) // 2
    assert found.thresholds_from["learned_from"] == (
        f"calibration: {9 * pairs} impostor comparisons of {pairs} pairs of eyes"
    )
    # By the adaptation strangers are less alike than the 0.4 of the common direction.
    assert 0.35 <= found.learned_from < 0.9
    assert calibrated_scores(vectors, eyes, Matcher(matcher.layout)) is None


def test_gain_by_score_is_at_the_points_of_the_card(with_codes):
    vectors, eyes, matcher = with_codes
    found = held_out_gain(vectors, eyes, True, matcher, matcher.score_model.thresholds)
    for figures in (found["before"], found["after"]):
        assert list(figures["fnmr"]) == list(SCORE_RATES)
        assert list(figures["fmr"]) == ["fmr_1e-2"]  # 78 false matches are expected
    # Without one, the learned components of these strangers alone make false matches.
    assert found["after"]["fmr"]["fmr_1e-2"] <= found["before"]["fmr"]["fmr_1e-2"]
    assert found["after"]["fmr"]["fmr_1e-2"] < 0.03


def test_file_keeps_scores_and_gain(with_codes, learned, tmp_path):
    matcher, path = with_codes[2], tmp_path / "gate.json"
    impostors = ImpostorEstimate(9, 0.0, 9.0, {"far_1e-2": 0.2, "far_1e-3": 0.3}, {})
    made = Calibration(
        "gate", "mobiiris", 64 * "0", np.eye(4, dtype=np.float32), 50, None, {}, impostors,
        Matcher(matcher.layout), score=matcher.score_model, gain={"eyes": 20},
    )  # fmt: skip
    made.write(path)
    read = Calibration.read(path)
    assert (read.score, read.gain) == (made.score, {"eyes": 20})
    values = json.loads(path.read_text())
    for changed in ({"score": {"slope": 1}}, {"gain": [1]}):
        path.write_text(json.dumps(values | changed))
        with pytest.raises(ModelError, match="not a calibration file"):
            Calibration.read(path)
    # As earlier versions wrote it.
    path.write_text(json.dumps({k: v for k, v in values.items() if k not in ("score", "gain")}))
    assert (Calibration.read(path).score, Calibration.read(path).gain) == (None, {})
    dataclasses.replace(made, score=None).write(path)
    assert "score" not in json.loads(path.read_text())
