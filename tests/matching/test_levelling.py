import cmath
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from iris_tf.matching.levelling import levelled_codes, mean_spectrum
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet, code_figures
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling, ScoreModel
from tests.matching.test_phase_evidence import (
    LAYOUT,
    MATCHER,
    MODEL,
    THRESHOLDS,
    embeddings,
    random_codes,
    responses_of,
    rotated_by,
)

FREQUENCIES = LAYOUT.columns // 2 + 1
LEVELLING = Levelling(tuple(1.0 / (2.0 + f) for f in range(FREQUENCIES)), 0.5)


def levelled_by_hand(code, levelling, layout=LAYOUT):
    """By the definition of the discrete Fourier transform, in plain Python."""
    z, rows = responses_of(code, layout)
    columns, rings = layout.columns, [(r, f) for r in range(rows) for f in range(2)]
    angle = 2j * cmath.pi / columns
    waves = {}  # of real and imaginary parts, which are transformed as numbers of their own
    for ring in rings:
        for part in ("real", "imag"):
            values = [getattr(z[c, *ring], part) for c in range(columns)]
            for k in range(columns):
                waves[ring, part, k] = sum(
                    v * cmath.exp(-angle * k * c) for c, v in enumerate(values)
                )
    found = {}
    for (ring, part, k), wave in waves.items():
        everything = [abs(waves[one, each, k]) ** 2 for one in rings for each in ("real", "imag")]
        power = math.sqrt(sum(everything) / len(everything))
        found[ring, part, k] = wave * levelling.spectrum[min(k, columns - k)] / power
    code = []
    for c in range(columns):
        for ring in rings:
            parts = [
                sum(found[ring, part, k] * cmath.exp(angle * k * c) for k in range(columns)).real
                / columns
                for part in ("real", "imag")
            ]
            value = complex(*parts) if z[c, *ring] != 0 else 0j
            size = abs(value) ** levelling.exponent
            value = cmath.rect(size, cmath.phase(value)) if value else value
            code += [value.real, value.imag]
    return np.array(code, np.float32)


def test_codes_are_levelled_by_the_definition():
    codes = random_codes(np.random.default_rng(1), 2, smooth=2)
    found = levelled_codes(codes, LAYOUT, LEVELLING)
    for code, levelled in zip(codes, found, strict=True):
        np.testing.assert_allclose(levelled, levelled_by_hand(code, LEVELLING), atol=2e-6)


def test_levelled_codes_have_the_spectrum():
    codes = random_codes(np.random.default_rng(2), 3, hidden=0.0, smooth=3)
    found = levelled_codes(codes, LAYOUT, dataclasses.replace(LEVELLING, exponent=1.0))
    waves = np.fft.rfft(found.reshape(3, LAYOUT.columns, -1), axis=1)
    power = np.sqrt(np.square(np.abs(waves)).mean(axis=2))
    np.testing.assert_allclose(power, np.tile(LEVELLING.spectrum, (3, 1)), rtol=1e-4)


def test_levelling_shifts_with_the_code_and_hides_what_was_hidden():
    codes = random_codes(np.random.default_rng(3), 3)
    found = levelled_codes(codes, LAYOUT, LEVELLING)
    np.testing.assert_array_equal(found != 0, codes != 0)
    np.testing.assert_allclose(
        levelled_codes(rotated_by(codes, 5), LAYOUT, LEVELLING), rotated_by(found, 5), atol=2e-6
    )


def test_codes_without_anything_stay_so():
    codes = np.zeros((1, LAYOUT.size), np.float32)
    np.testing.assert_array_equal(levelled_codes(codes, LAYOUT, LEVELLING), codes)
    assert levelled_codes(codes[:0], LAYOUT, LEVELLING).shape == (0, LAYOUT.size)


def test_a_mean_spectrum_is_that_of_codes_whatever_their_lengths():
    codes = random_codes(np.random.default_rng(4), 40, hidden=0.0, smooth=3)
    power = np.square(np.abs(np.fft.rfft(codes.reshape(40, LAYOUT.columns, -1), axis=1)))
    expected = np.sqrt(power.mean(axis=2))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    expected = expected.mean(axis=0)
    scale = np.random.default_rng(5).uniform(0.1, 3.0, (40, 1)).astype(np.float32)
    found = mean_spectrum(codes * scale, LAYOUT)
    np.testing.assert_allclose(found, expected / expected.max(), atol=6e-4)
    assert max(found) == 1.0


def test_scores_are_of_levelled_codes_but_coarseness_is_not():
    rng = np.random.default_rng(6)
    plain = random_codes(rng, 4, smooth=2)
    matcher = Matcher(LAYOUT, dataclasses.replace(MODEL, levelling=LEVELLING))
    vectors = embeddings(rng, plain)
    found = matcher.describe(vectors)
    learned, codes = MATCHER.split(vectors)
    levelled = np.concatenate([learned, levelled_codes(codes, LAYOUT, LEVELLING)], axis=1)
    expected = MATCHER.describe(levelled)
    np.testing.assert_allclose(
        matcher.scores(found, found).values, MATCHER.scores(expected, expected).values, rtol=1e-5
    )
    np.testing.assert_array_equal(found.codes.coarseness, CodeSet.of(codes, LAYOUT).coarseness)
    assert not np.allclose(found.codes.coarseness, expected.codes.coarseness, rtol=0.01)
    # Nor are the degrees of freedom that an image needs by itself.
    np.testing.assert_array_equal(found.codes.freedom, MATCHER.describe(vectors).codes.freedom)
    assert not np.allclose(found.codes.freedom, expected.codes.freedom, rtol=0.01)


def test_coarse_templates_need_more_freedom_where_comparisons_do_not_tell_blur():
    levelled = dataclasses.replace(MODEL, levelling=LEVELLING)
    coarseness = np.array([0.9, 1.6, 1.7])
    np.testing.assert_allclose(MODEL.least_own_freedom(coarseness), [7.5, 7.5, 7.5])
    np.testing.assert_allclose(levelled.least_own_freedom(coarseness), [7.5, 7.5, 10.0])


def test_figures_spare_their_computation():
    rng = np.random.default_rng(9)
    vectors = embeddings(rng, random_codes(rng, 3))
    matcher = Matcher(LAYOUT, dataclasses.replace(MODEL, levelling=LEVELLING))
    found = matcher.describe(vectors)
    codes = MATCHER.split(vectors)[1]
    np.testing.assert_array_equal(code_figures(codes, LAYOUT, LEVELLING), found.codes.figures)
    known = matcher.describe(vectors, 2.0 * found.codes.figures, figures_of=LEVELLING)
    np.testing.assert_allclose(known.codes.freedom, found.codes.freedom / 2.0)
    np.testing.assert_array_equal(known[1:].codes.figures, 2.0 * found[1:].codes.figures)


def test_transformed_templates_are_not_levelled_again():
    rng = np.random.default_rng(7)
    vectors = embeddings(rng, random_codes(rng, 3))
    matcher = Matcher(LAYOUT, dataclasses.replace(MODEL, levelling=LEVELLING))
    figures = MATCHER.describe(vectors).codes.figures
    found = matcher.describe(vectors, 2.0 * figures, transformed=True)
    np.testing.assert_array_equal(found.codes.waves, MATCHER.describe(vectors).codes.waves)
    np.testing.assert_array_equal(found.codes.figures, 2.0 * figures)


def test_figures_of_codes_that_were_not_levelled_do_not_count():
    rng = np.random.default_rng(8)
    vectors = embeddings(rng, random_codes(rng, 3))
    matcher = Matcher(LAYOUT, dataclasses.replace(MODEL, levelling=LEVELLING))
    kept = MATCHER.describe(vectors).codes.figures
    np.testing.assert_array_equal(
        matcher.describe(vectors, kept).codes.figures, matcher.describe(vectors).codes.figures
    )


@pytest.mark.parametrize(
    "change",
    [
        {"spectrum": ()},
        {"spectrum": (0.0, 0.0)},
        {"spectrum": (1.0, -0.1)},
        {"spectrum": (1.0, math.nan)},
        {"spectrum": (1.0, "1")},
        {"exponent": 0.0},
        {"exponent": 1.5},
        {"exponent": math.inf},
        {"exponent": None},
    ],
)
def test_impossible_levellings_are_refused(change):
    with pytest.raises(ValueError):
        dataclasses.replace(LEVELLING, **change)


def test_a_levelling_survives_json():
    model = dataclasses.replace(MODEL, levelling=LEVELLING)
    assert ScoreModel.from_json(json.loads(json.dumps(dataclasses.asdict(model)))) == model


def test_scores_are_those_that_other_programs_must_compute_too():
    # Computed by the plain loops above, not by the library.
    fixture = json.loads((Path(__file__).parents[1] / "fixtures" / "scores.json").read_text())
    levelling = Levelling.from_json(fixture["levelling"])
    model = ScoreModel(
        **fixture["score"], thresholds=THRESHOLDS, wide_share=0.25, levelling=levelling
    )
    matcher = Matcher(PhaseCodeLayout(**fixture["phase"]), model)
    described = matcher.describe(np.array(fixture["embeddings"], np.float32))
    found = matcher.scores(described, described)
    assert len(fixture["levelled_pairs"]) >= 6
    for pair in fixture["levelled_pairs"]:
        place = pair["first"], pair["second"]
        assert found.freedom[place] == pytest.approx(pair["freedom"], rel=1e-4)
        assert found.values[place] == pytest.approx(pair["score"], abs=2e-3)
