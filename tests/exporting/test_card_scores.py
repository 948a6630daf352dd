import dataclasses
import math

import numpy as np
import pytest

from iris_tf.config.names import CARD_NAME, SCORE_RATES
from iris_tf.data.manifest import ManifestRow
from iris_tf.exporting.card_scores import card_scores, learned_from
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import RECOGNITION, released_folder

LEARNED = 16


@pytest.fixture(scope="module")
def released():
    return ModelCard.read(released_folder(RECOGNITION) / CARD_NAME)


def embeddings_of(eyes, images, layout, shared):
    """Embeddings whose learned components have a mean cosine of shared squared among strangers."""
    rng = np.random.default_rng(3)
    learned = rng.normal(size=(eyes, 1, LEARNED)) + 0.5 * rng.normal(size=(eyes, images, LEARNED))
    learned /= np.linalg.norm(learned, axis=-1, keepdims=True)
    learned += shared / math.sqrt(1 - shared**2) * np.eye(LEARNED)[0]
    codes = rng.normal(size=(eyes, images, layout.size))
    both = [
        np.sqrt(share) * part / np.linalg.norm(part, axis=-1, keepdims=True)
        for share, part in ((1 / 3, learned), (2 / 3, codes))
    ]
    rows = [
        ManifestRow(f"{eye}_{i}", "made", f"{eye}", "L", f"{eye}", f"{eye}_{i}.png")
        for eye in range(eyes)
        for i in range(images)
    ]
    return np.concatenate(both, axis=-1).reshape(eyes * images, -1).astype(np.float32), rows


def test_all_but_the_learned_component_is_that_of_the_released_model(released):
    found = card_scores(*embeddings_of(30, 2, released.phase, 0.0), released.phase)
    kept = dataclasses.replace(found, learned_from=0.35, thresholds_from={})
    assert kept == dataclasses.replace(released.score, thresholds_from={})
    said = found.thresholds_from
    assert said["cameras"] == released.score.thresholds_from["cameras"]
    assert said["model"] == "mobiiris"
    # 30 * 29 / 2 pairs of eyes with two images each.
    assert said["learned_from"] == (
        "validation split: 1740 impostor comparisons of 435 pairs of eyes"
    )


def test_strangers_with_similar_learned_components_do_not_gain(released):
    """The mean of exp(addition), which multiplies the FMR of exponential evidence, stays low."""
    vectors, rows = embeddings_of(40, 2, released.phase, 0.6)
    found = card_scores(vectors, rows, released.phase)
    learned = vectors[:, :LEARNED] / np.linalg.norm(vectors[:, :LEARNED], axis=1, keepdims=True)
    identity = np.array([row.identity for row in rows])
    cosines = (learned @ learned.T)[identity[:, None] != identity[None]]

    def factor(start):
        return np.exp(found.learned_weight * np.maximum(cosines - start, 0)).mean()

    assert factor(released.score.learned_from) > 1.5
    assert 1.0 < factor(found.learned_from) < 1.15
    assert 0.4 < found.learned_from < 1.0


@pytest.mark.parametrize(("mean", "spread"), [(0.2, 0.15), (0.3, 0.2), (-0.1, 0.3)])
def test_formula_is_that_of_drawn_cosines(released, mean, spread):
    cosines = np.random.default_rng(0).normal(mean, spread, 400_000)
    start = learned_from(cosines, len(cosines), released.score)
    assert start > 0.35
    gained = np.exp(released.score.learned_weight * np.maximum(cosines - start, 0)).mean()
    assert gained == pytest.approx(1.1, abs=0.03)


def test_the_fewer_eyes_the_less_the_learned_component_counts(released):
    cosines = np.random.default_rng(0).normal(0.1, 0.15, 400)
    starts = [learned_from(cosines, pairs, released.score) for pairs in (400, 100, 28, 6, 3, 2, 1)]
    assert starts[0] == pytest.approx(0.35, abs=0.05)
    assert starts == sorted(starts) and starts[2] > starts[0] + 0.05
    assert starts[-1] == 1.0  # two eyes say nothing: only the phase codes decide
    assert learned_from(np.full(9, 0.1), 9, released.score) == 1.0  # nor do equal cosines


def test_decisions_depend_on_the_evidence_alone(released):
    """Neither slope nor offset matters, so they need no fit to a user's images."""
    model = released.score
    margins = [
        (threshold - model.offset) / model.slope + math.log(SCORE_RATES[name])
        for name, threshold in model.thresholds.items()
    ]
    assert margins == pytest.approx([margins[0]] * 5, abs=1e-3)


def test_codes_of_another_size_have_no_scores(released):
    vectors, rows = embeddings_of(4, 2, released.phase, 0.0)
    smaller = dataclasses.replace(released.phase, size=released.phase.size // 2)
    assert card_scores(vectors, rows, smaller) is None
