import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from iris_tf.config.names import SCORE_RATES
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet, compare_codes
from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

LAYOUT = PhaseCodeLayout(size=32 * 4 * 4, columns=32, turns=3)
THRESHOLDS = {point: 1.0 - math.log(rate) for point, rate in SCORE_RATES.items()}
MODEL = ScoreModel(-4.0, 0.9, 8.0, 0.35, 10.0, THRESHOLDS)
MATCHER = Matcher(LAYOUT, MODEL)


def random_codes(rng, n, hidden=0.2, layout=LAYOUT, smooth=1):
    """Phases of smoothed noise, with some places hidden: (n, size)."""
    rows = layout.size // (4 * layout.columns)
    shape = (n, layout.columns, rows, 2)
    noise = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    noise = sum(np.roll(noise, step, axis=1) for step in range(smooth))
    code = noise / np.abs(noise) * (rng.random(shape) >= hidden) * rng.uniform(0.5, 1.0, shape)
    parts = np.stack([code.real, code.imag], axis=-1)
    return parts.reshape(n, -1).astype(np.float32)


def embeddings(rng, codes, size=6):
    learned = rng.normal(size=(len(codes), size))
    learned /= np.linalg.norm(learned, axis=1, keepdims=True)
    codes = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    return np.concatenate([0.6 * learned, 0.8 * codes], axis=1).astype(np.float32)


def responses_of(code, layout=LAYOUT):
    """{(column, row, filter): complex}, in plain Python."""
    rows = layout.size // (4 * layout.columns)
    found, entries = {}, iter(code.tolist())
    for column in range(layout.columns):
        for row in range(rows):
            for part in range(2):
                found[column, row, part] = complex(next(entries), next(entries))
    return found, rows


def own_spread_by_hand(code):
    """Spread and smoothness from the formulas of docs/how-it-works/scores.md."""
    z, rows = responses_of(code)
    columns = LAYOUT.columns
    visible = [[abs(z[c, r, f]) for c in range(columns) for r in range(rows)] for f in range(2)]
    seen = [[value for value in part if value > 0] for part in visible]
    total = sum(sum(v * v for v in part) / len(part) for part in seen)
    rho = {}
    for row_lag in range(-3, 4):
        for lag in range(-11, 12):
            for f in range(2):
                for g in range(2):
                    value, count = 0j, 0
                    for column in range(columns):
                        for row in range(rows):
                            if not 0 <= row + row_lag < rows:
                                continue
                            a = z[(column + lag) % columns, row + row_lag, f]
                            b = z[column, row, g]
                            value += a * b.conjugate()
                            count += a != 0 and b != 0
                    rho[f, g, row_lag, lag] = value / (max(count, 20) * total)
    square = sum((1 - abs(k[2]) / rows) * abs(value) ** 2 for k, value in rho.items())
    following = sum(
        (1 - abs(k[2]) / rows) * (rho[k[0], k[1], k[2], k[3] + 1] * value.conjugate()).real
        for k, value in rho.items()
        if k[3] < 11
    )
    return 0.85 * square, following / square


def evidence_by_hand(first, second, wide_share=0.0):
    """Degrees of freedom and evidence; codes are rotated by 3 of 32 columns, or by any."""
    freedom, evidence = evidence_among(first, second, range(-3, 4), 1.0 - wide_share)
    if wide_share:
        wide = evidence_among(first, second, range(4, 29), wide_share)
        if wide[1] > evidence:
            return wide
    return freedom, evidence


def evidence_among(first, second, rotations, share):
    a, _ = responses_of(first)
    b, _ = responses_of(second)
    best = (-math.inf,)
    for rotation in rotations:
        product, common, energies = 0.0, 0, [0.0, 0.0]
        for (column, row, part), other in b.items():
            value = a[(column - rotation) % LAYOUT.columns, row, part]
            product += (value * other.conjugate()).real
            if value != 0 and other != 0:
                common += 1
                energies[0] += abs(value) ** 2
                energies[1] += abs(other) ** 2
        best = max(best, (product, common, energies))
    product, common, energies = best
    (spread, smooth), (other_spread, other_smooth) = map(own_spread_by_hand, (first, second))
    freedom = common / math.sqrt(spread * other_spread)
    steps = len(rotations) - 1
    crossings = steps * math.sqrt(2 * (1 - (smooth + other_smooth) / 2)) / (2 * math.pi)
    similarity = max(product, 0) / math.sqrt(energies[0] * energies[1])
    return freedom, freedom * similarity**2 / 2 - math.log((0.5 + crossings) / share)


def rotated_by(codes, columns):
    """Codes (n, size) of images that are rotated by some columns."""
    return np.roll(codes.reshape(len(codes), LAYOUT.columns, -1), columns, axis=1).reshape(
        codes.shape
    )


@pytest.mark.parametrize("wide_share", [0.0, 0.25])
def test_evidence_follows_its_formulas(wide_share):
    rng = np.random.default_rng(1)
    codes = random_codes(rng, 3, smooth=2)
    # By 3 columns and by 4 a head may tilt and may not; by 16 an image is upside down.
    codes = np.concatenate([codes, *(rotated_by(codes[:1], columns) for columns in (3, 4, 16, 28))])
    found = compare_codes(*[CodeSet.of(codes, LAYOUT)] * 2, wide_share)
    for i in range(2):
        for j in range(7):
            freedom, evidence = evidence_by_hand(codes[i], codes[j], wide_share)
            assert found.freedom[i, j] == pytest.approx(freedom, rel=1e-4)
            assert found.evidence[i, j] == pytest.approx(evidence, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("smooth", [4, 12])
def test_strangers_reach_evidence_as_rarely_as_it_says_however_smooth_they_are(smooth):
    layout = PhaseCodeLayout(4096, 128, 10)
    codes = random_codes(np.random.default_rng(smooth), 200, layout=layout, smooth=smooth)
    found = compare_codes(*[CodeSet.of(codes, layout)] * 2).evidence[np.triu_indices(200, 1)]
    # Fewer, because codes without structure along the radius are alike more rarely than irises.
    for rate in (1e-1, 1e-2):
        assert np.mean(found >= -math.log(rate)) < rate


@pytest.mark.parametrize("columns", [4, 9, 16, 23, 28])
def test_images_rotated_by_any_angle_are_found_at_a_price(columns):
    code = random_codes(np.random.default_rng(8), 1, smooth=2)
    sets = CodeSet.of(code, LAYOUT), CodeSet.of(rotated_by(code, columns), LAYOUT)
    [[upright]] = compare_codes(sets[0], sets[0], 0.25).evidence
    [[rotated]] = compare_codes(*sets, 0.25).evidence
    assert compare_codes(*sets).evidence[0, 0] < 5.0
    # 25 rotations instead of 7, and a share of 1/4 instead of 3/4.
    steps = np.sqrt(2.0 * (1.0 - sets[0].smoothness[0])) / (2.0 * np.pi)
    price = math.log(3.0) + math.log((0.5 + 24 * steps) / (0.5 + 6 * steps))
    assert upright - rotated == pytest.approx(price, abs=1e-3)
    [[back]] = compare_codes(*sets[::-1], 0.25).evidence
    assert back == pytest.approx(rotated, abs=1e-3)


def test_opposite_halves_of_strangers_have_nothing_in_common():
    layout = PhaseCodeLayout(4096, 128, 10)
    codes = random_codes(np.random.default_rng(11), 40, layout=layout, smooth=4)
    columns = codes.reshape(40, 128, -1)
    columns[:20, 64:] = columns[20:, :64] = 0.0
    left, right = CodeSet.of(codes[:20], layout), CodeSet.of(codes[20:], layout)
    found = compare_codes(left, right, 0.25)
    # Half a turn shows all of both, but no more than one stranger in a hundred are alike there.
    by_chance = found.evidence < math.log(100)
    assert by_chance.mean() > 0.99
    np.testing.assert_array_equal(
        found.freedom[by_chance], compare_codes(left, right).freedom[by_chance]
    )
    assert found.freedom[by_chance].max() < 0.4 * left.freedom.min()
    # The same half, rotated by half a turn, is found there.
    mirrored = CodeSet.of(np.roll(codes[:20], 2048, axis=1), layout)
    own = np.diag(compare_codes(left, mirrored, 0.25).freedom)
    np.testing.assert_allclose(own, np.diag(compare_codes(left, left).freedom), rtol=1e-3)


def test_strangers_reach_evidence_at_any_rotation_as_rarely_as_it_says():
    layout = PhaseCodeLayout(4096, 128, 10)
    codes = random_codes(np.random.default_rng(9), 200, layout=layout, smooth=4)
    found = compare_codes(*[CodeSet.of(codes, layout)] * 2, 0.25).evidence
    for rate in (1e-1, 1e-2):
        assert np.mean(found[np.triu_indices(200, 1)] >= -math.log(rate)) < rate


def test_blocks_of_pairs_are_compared_alike():
    """More codes than are compared at a time, in both sets."""
    codes = random_codes(np.random.default_rng(10), 150)
    sets = CodeSet.of(codes[:20], LAYOUT), CodeSet.of(codes, LAYOUT)
    whole = compare_codes(*sets, 0.25)
    for row, column in ((0, 0), (15, 149), (16, 127), (17, 128), (19, 149)):
        pair = compare_codes(sets[0][row : row + 1], sets[1][column : column + 1], 0.25)
        for figures, figure in zip(vars(whole).values(), vars(pair).values(), strict=True):
            assert figures[row, column] == pytest.approx(figure[0, 0], rel=1e-4, abs=1e-5)


def test_smoother_codes_and_smaller_common_areas_have_fewer_degrees_of_freedom():
    rng = np.random.default_rng(2)
    sharp, smooth = random_codes(rng, 4), random_codes(rng, 4, smooth=4)
    hidden = sharp * (np.arange(LAYOUT.size) < LAYOUT.size // 2)
    freedom = {
        name: compare_codes(*[CodeSet.of(codes, LAYOUT)] * 2).freedom.mean()
        for name, codes in {"sharp": sharp, "smooth": smooth, "hidden": hidden}.items()
    }
    assert freedom["smooth"] < 0.7 * freedom["sharp"]
    assert freedom["hidden"] < 0.7 * freedom["sharp"]


def test_scores_are_symmetric():
    rng = np.random.default_rng(3)
    first, second = (MATCHER.describe(embeddings(rng, random_codes(rng, n))) for n in (20, 3))
    forth, back = MATCHER.scores(first, second), MATCHER.scores(second, first)
    np.testing.assert_allclose(forth.values, back.values.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(forth.freedom, back.freedom.T, rtol=1e-6)


def test_scores_rise_with_the_cosine_of_learned_components():
    rng = np.random.default_rng(4)
    own = embeddings(rng, random_codes(rng, 1))
    stranger = rng.normal(size=6)
    values = []
    for share in np.linspace(0.0, 1.0, 9):
        other = own.copy()
        direction = share * own[0, :6] + (1 - share) * 0.2 * stranger
        other[0, :6] = 0.6 * direction / np.linalg.norm(direction)
        cosine = float(own[0, :6] @ other[0, :6]) / 0.36
        [[value]] = MATCHER.scores(MATCHER.describe(own), MATCHER.describe(other)).values
        values.append((cosine, value))
    values.sort()
    scores = [value for _, value in values]
    assert scores == sorted(scores) and scores[-1] > scores[0]
    # 0.9 * 8 * (1 - 0.35) at most from the learned components, by the model's formula.
    assert scores[-1] - scores[0] <= 0.9 * 8.0 * 0.65 + 1e-3


def test_evidence_rises_with_the_similarity_of_phase_codes():
    rng = np.random.default_rng(6)
    code, noise = (random_codes(rng, 1, hidden=0.0)[0] for _ in range(2))
    turned = noise.view(np.complex64) / np.abs(noise.view(np.complex64))
    found = []
    for share in np.linspace(0.0, 1.0, 6):
        # Phases are turned back step by step, so that amplitudes stay what they are.
        own = code.view(np.complex64)
        angles = np.angle(turned) * (1.0 - share)
        other = (own * np.exp(1j * angles)).astype(np.complex64).view(np.float32)
        sets = CodeSet.of(code[None], LAYOUT), CodeSet.of(other[None], LAYOUT)
        found.append(compare_codes(*sets).evidence[0, 0])
    assert found == sorted(found)


def test_codes_without_common_places_are_inconclusive():
    rng = np.random.default_rng(7)
    codes = random_codes(rng, 2, hidden=0.0).reshape(2, LAYOUT.columns, -1)
    codes[0, :, : codes.shape[2] // 2], codes[1, :, codes.shape[2] // 2 :] = 0, 0
    first, second = (MATCHER.describe(embeddings(rng, code.reshape(1, -1))) for code in codes)
    found = MATCHER.scores(first, second)
    assert found.freedom[0, 0] == 0.0
    assert found.values[0, 0] == -np.inf


def test_coarseness_follows_its_formula():
    rng = np.random.default_rng(8)
    codes = random_codes(rng, 3)
    codes.view(np.complex64)[1, 1::2] *= 0.5  # fine texture of half the amplitude
    codes.view(np.complex64)[2, 1::2] = 0
    found = CodeSet.of(codes, LAYOUT).coarseness
    for code, coarseness in zip(codes[:2], found[:2], strict=True):
        responses, _ = responses_of(code)
        means = []
        for part in range(2):
            energies = [abs(z) ** 2 for key, z in responses.items() if key[2] == part and z != 0]
            means.append(sum(energies) / len(energies))
        assert coarseness == pytest.approx(means[0] / means[1])
    assert found[0] == pytest.approx(1.0, abs=0.3)
    assert found[1] > 2.5
    assert found[2] == 0.0


def test_a_card_without_scores_describes_nothing():
    with pytest.raises(ModelError, match="no scores"):
        Matcher(LAYOUT).describe(np.zeros((1, 6 + LAYOUT.size), np.float32))


def test_the_fmr_is_shared_by_a_gallery():
    assert MODEL.threshold("fmr_1e-3") == pytest.approx(THRESHOLDS["fmr_1e-3"])
    expected = THRESHOLDS["fmr_1e-3"] + 0.9 * math.log(1000)
    assert MODEL.threshold("fmr_1e-3", 1000) == pytest.approx(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"slope": 0.0},
        {"slope": math.nan},
        {"offset": True},
        {"least_freedom": 0.0},
        {"learned_weight": -1.0},
        {"learned_from": 1.5},
        {"wide_share": -0.1},
        {"wide_share": 1.0},
        {"wide_share": math.nan},
        {"thresholds": {"fmr_1e-2": 1.0}},
        {"thresholds": dict.fromkeys(SCORE_RATES, 1.0)},
    ],
)
def test_impossible_score_models_are_refused(change):
    with pytest.raises(ValueError):
        dataclasses.replace(MODEL, **change)


def test_a_score_model_survives_json_in_alphabetical_order():
    values = dataclasses.asdict(MODEL)
    del values["wide_share"]  # as cards of earlier versions
    values["thresholds"] = dict(sorted(values["thresholds"].items(), reverse=True))
    assert ScoreModel.from_json(values) == MODEL


def test_scores_are_those_that_other_programs_must_compute_too():
    # Computed by the plain loops above, not by the library.
    fixture = json.loads((Path(__file__).parents[1] / "fixtures" / "scores.json").read_text())
    for pair in fixture["pairs"]:
        model = ScoreModel(**fixture["score"], thresholds=THRESHOLDS, wide_share=pair["wide_share"])
        matcher = Matcher(PhaseCodeLayout(**fixture["phase"]), model)
        described = matcher.describe(np.array(fixture["embeddings"], np.float32))
        found = matcher.scores(described, described)
        place = pair["first"], pair["second"]
        assert found.freedom[place] == pytest.approx(pair["freedom"], rel=1e-4)
        assert found.values[place] == pytest.approx(pair["score"], abs=2e-3)
