import cmath
import dataclasses
import hashlib
import itertools
import statistics

import numpy as np
import pytest

from iris_tf.config.names import SCORE_RATES
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.keyed_transform import KeyedTransform, levelled, protected_figures
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Origin, Template
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

LAYOUT = PhaseCodeLayout(size=32 * 16, columns=32, turns=3)  # 4 rows, 2 filters, real and imaginary
THRESHOLDS = dict(zip(SCORE_RATES, (0.0, 2.0, 4.0, 6.0, 8.0), strict=True))
MATCHER = Matcher(LAYOUT, ScoreModel(-4.0, 0.9, 8.0, 0.35, 10.0, THRESHOLDS))
LEARNED = 12
KEYS = [SecretKey(bytes([number]) * 32) for number in range(1, 4)]
FIRST, SECOND, THIRD = (KeyedTransform(key, MATCHER) for key in KEYS)
ORIGIN = Origin("mobiiris", "ab" * 32)


def embeddings(count, seed=0, matcher=MATCHER):
    """Smooth codes with hidden places, beside learned components."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(count, 32, 4, 4))
    fields = fields + np.roll(fields, 1, axis=1) + 0.5 * np.roll(fields, 1, axis=2)
    for field in fields:
        start = int(rng.integers(32))
        field[np.arange(start, start + 6) % 32, 2:] = 0.0
    codes = fields.reshape(count, -1)
    learned = rng.normal(size=(count, LEARNED))
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (learned, codes)]
    return np.concatenate([np.sqrt(0.4) * parts[0], np.sqrt(0.6) * parts[1]], axis=1, dtype="f4")


def by_hand(a, b):
    """Similarity by a loop over rotations and entries."""
    best = -np.inf
    for shift in range(-3, 4):
        rotated = np.concatenate([a[LEARNED:].reshape(32, 16)[(c + shift) % 32] for c in range(32)])
        best = max(
            best, sum(float(x) * float(y) for x, y in zip(rotated, b[LEARNED:], strict=True))
        )
    return float(a[:LEARNED] @ b[:LEARNED]) + best


def test_similarities_survive_at_every_rotation():
    plain = embeddings(5)
    level = levelled(plain, MATCHER)
    expected = [[by_hand(a, b) for b in level] for a in level]
    found = MATCHER.similarities(*[FIRST.apply(plain)] * 2)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # Beyond the rotations of this card, too: the head may be tilted by any angle.
    shifted = LAYOUT.rotate(plain, 13)
    np.testing.assert_allclose(
        FIRST.apply(shifted), LAYOUT.rotate(FIRST.apply(plain), 13), atol=1e-6
    )


def test_it_is_an_orthogonal_map_that_commutes_with_rotations():
    size = LEARNED + LAYOUT.size
    inverse = FIRST.undo(np.eye(size, dtype=np.float32))
    np.testing.assert_allclose(inverse @ inverse.T, np.eye(size), atol=1e-5)
    np.testing.assert_allclose(
        FIRST.undo(LAYOUT.rotate(np.eye(size, dtype=np.float32), 1)),
        LAYOUT.rotate(inverse, 1),
        atol=1e-6,
    )
    # It mixes everything but the learned component with the code.
    mixed = np.abs(inverse) > 1e-7
    assert mixed[:LEARNED, :LEARNED].all() and mixed[LEARNED:, LEARNED:].mean() > 0.99
    assert not mixed[:LEARNED, LEARNED:].any() and not mixed[LEARNED:, :LEARNED].any()


def naive_power(code):
    """Power of each frequency by the definition of the Fourier transform."""
    columns = code.reshape(32, 16)
    return [
        sum(
            abs(sum(columns[c, e] * cmath.exp(-2j * cmath.pi * k * c / 32) for c in range(32))) ** 2
            for e in range(16)
        )
        for k in range(17)
    ]


def test_levelled_embeddings_have_the_same_lengths():
    level = levelled(embeddings(3), MATCHER)
    powers = np.array([naive_power(row[LEARNED:]) for row in level])
    np.testing.assert_allclose(powers, np.broadcast_to(powers[0], powers.shape), rtol=1e-9)
    np.testing.assert_allclose((level[:, LEARNED:] ** 2).sum(axis=1), 2 / 3, rtol=1e-9)
    np.testing.assert_allclose((level[:, :LEARNED] ** 2).sum(axis=1), 1 / 3, rtol=1e-9)
    # Twice as fine as the table of mean amplitudes: at every second frequency it is the table's.
    table = np.array([0.355, 0.586, 1.0, 0.949, 0.846])
    np.testing.assert_allclose(np.sqrt(powers[0][:5] / powers[0][2]), table, rtol=1e-6)
    np.testing.assert_allclose(levelled(level, MATCHER), level, atol=1e-12)


def test_scores_survive():
    plain = embeddings(6)
    plain[3:, LEARNED:] = (plain[:3] + 0.4 * plain[3:])[:, LEARNED:]
    figures = protected_figures(plain, MATCHER)
    kept = levelled(plain, MATCHER).astype(np.float32)
    expected = MATCHER.scores(*[MATCHER.describe(kept, figures)] * 2)
    found = MATCHER.scores(*[MATCHER.describe(FIRST.apply(plain), figures)] * 2)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.freedom, expected.freedom, rtol=1e-4)
    assert np.isfinite(found.values).all()
    assert (np.diag(found.values, 3) > np.triu(found.values, 4).max()).all()


def test_degrees_of_freedom_are_those_of_what_was_visible_in_coarse_steps():
    plain = embeddings(4)
    figures = protected_figures(plain, MATCHER)
    codes = levelled(plain, MATCHER)[:, LEARNED:]
    codes[plain[:, LEARNED:] == 0] = 0.0
    exact = CodeSet.of(codes, LAYOUT).freedom
    found = CodeSet.of(FIRST.apply(plain)[:, LEARNED:], LAYOUT, figures).freedom
    # Intervals of a factor of 1.5 from 64, represented by their geometric middles.
    bounds = [64 * 1.5**n for n in range(-8, 4)]
    lower = np.array([max(bound for bound in bounds if bound <= value) for value in exact])
    np.testing.assert_allclose(found, lower * np.sqrt(1.5), rtol=1e-5)
    assert len(np.unique(figures[:, 1])) == 1


def test_keys_make_strangers():
    plain = embeddings(40)
    own = MATCHER.similarities(FIRST.apply(plain), SECOND.apply(plain))
    others = own[~np.eye(40, dtype=bool)]
    # The same eye under two keys is as similar as two eyes are.
    assert abs(np.diag(own).mean() - others.mean()) < 4 * others.std() / np.sqrt(40)
    assert FIRST.id != SECOND.id and FIRST.id == KeyedTransform(KEYS[0], Matcher()).id
    again = KeyedTransform(SecretKey(b"\x01" * 32), MATCHER)
    np.testing.assert_array_equal(FIRST.apply(plain), again.apply(plain))


def test_identities_have_transforms_of_their_own():
    plain = embeddings(2)
    ann, bea = (KeyedTransform(KEYS[0], MATCHER, name) for name in ("ann", "bea"))
    assert len({ann.id, bea.id, FIRST.id}) == 3
    kept = [of.apply(plain) for of in (ann, bea, FIRST)]
    for first, second in itertools.combinations(kept, 2):
        assert MATCHER.similarities(first, second).max() < 0.5
    np.testing.assert_allclose(
        MATCHER.similarities(kept[0], kept[0]), MATCHER.similarities(kept[2], kept[2]), atol=2e-6
    )


def test_random_numbers_are_those_of_the_key():
    matcher = Matcher()
    transform = KeyedTransform(KEYS[0], matcher)
    seed = KEYS[0].derive("transform of templates: learned component")
    stream = hashlib.shake_256(seed).digest(8 * 16)
    normal = [
        statistics.NormalDist().inv_cdf(
            ((int.from_bytes(stream[i : i + 8], "little") >> 12) + 0.5) / 2**52
        )
        for i in range(0, 128, 8)
    ]
    # Gram-Schmidt, whose triangle has a positive diagonal.
    columns = []
    for column in np.reshape(normal, (4, 4)).T:
        rest = column - sum((column @ other) * other for other in columns)
        columns.append(rest / np.linalg.norm(rest))
    found = transform.apply(np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(found, np.array(columns), atol=1e-6)


def test_matrices_are_evenly_distributed():
    # Of the Haar measure, E|u|^2 = 1/n and E|u|^4 = 2 / (n (n + 1)) for complex entries.
    entries = np.abs(FIRST._unitary[1:-1]) ** 2
    assert entries.mean() == pytest.approx(1 / 16)
    more = np.concatenate([
        np.abs(KeyedTransform(SecretKey(bytes([n]) * 32), MATCHER)._unitary[1:-1]) ** 4
        for n in range(30)
    ])  # fmt: skip
    assert more.mean() == pytest.approx(2 / (16 * 17), rel=0.02)


def test_a_template_and_a_gallery_are_transformed(tmp_path):
    plain = embeddings(3)
    quality = IrisQuality(*range(9))
    template = FIRST.template(Template(plain[0], ORIGIN, quality))
    gallery = FIRST.gallery(Gallery(plain, ("a", "b", "c"), ("1", "2", "3"), ORIGIN))
    assert template.origin == gallery.origin == dataclasses.replace(ORIGIN, transform=FIRST.id)
    np.testing.assert_array_equal(gallery.embeddings[0], template.embedding)
    np.testing.assert_array_equal(gallery.figures[0], template.figures)
    template.save(tmp_path / "eye.npz")
    gallery.save(tmp_path / "all.npz")
    again, all_again = Template.load(tmp_path / "eye.npz"), Gallery.load(tmp_path / "all.npz")
    assert again.origin == template.origin and again.quality is None
    np.testing.assert_array_equal(again.figures, template.figures)
    np.testing.assert_array_equal(all_again.figures, gallery.figures)
    scores = gallery.scores(template.embedding, MATCHER, template.figures).values
    found = all_again.scores(again.embedding, MATCHER, again.figures).values
    np.testing.assert_array_equal(found, scores)
    assert scores.argmax() == 0
    with pytest.raises(ModelError, match=f"The transform {FIRST.id} protects"):
        SECOND.template(template)
    with pytest.raises(ModelError, match=f"The transform {FIRST.id} protects"):
        SECOND.gallery(gallery)
    of_templates = Gallery.of_templates({"a": template})
    np.testing.assert_array_equal(of_templates.figures, template.figures[None])


def test_a_leaked_gallery_is_replaced_without_enrolment():
    plain = Gallery(embeddings(3), ("a", "b", "c"), ("", "", ""), ORIGIN)
    leaked = FIRST.gallery(plain)
    replaced, direct = SECOND.replacing(FIRST, leaked), SECOND.gallery(plain)
    np.testing.assert_allclose(replaced.embeddings, direct.embeddings, atol=1e-6)
    np.testing.assert_array_equal(replaced.figures, direct.figures)
    assert replaced.origin == direct.origin and replaced.identities == ("a", "b", "c")
    with pytest.raises(ModelError, match=f"protected by the transform {FIRST.id}, not by"):
        SECOND.replacing(THIRD, leaked)
    with pytest.raises(ModelError, match="protected by the transform none"):
        SECOND.replacing(FIRST, plain)


def test_what_shows_nothing_cannot_be_transformed():
    hidden = embeddings(1)
    hidden[:, LEARNED:] = 0.0
    with pytest.raises(ModelError, match="learned component or a phase code that is zero"):
        FIRST.apply(hidden)


@pytest.mark.parametrize("columns", [7, 8])
def test_codes_of_any_layout(columns):
    layout = PhaseCodeLayout(size=3 * columns, columns=columns, turns=2)
    matcher = Matcher(layout)
    transform = KeyedTransform(KEYS[0], matcher)
    rows = np.random.default_rng(0).normal(size=(4, 3 * columns))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    kept = transform.apply(rows)  # nothing but a phase code
    expected = matcher.similarities(levelled(rows, matcher), levelled(rows, matcher))
    np.testing.assert_allclose(matcher.similarities(kept, kept), expected, atol=1e-6)
    assert transform.template(Template(rows[0], ORIGIN)).figures is None  # no scores
    np.testing.assert_allclose(transform.undo(kept), levelled(rows, matcher), atol=1e-6)
