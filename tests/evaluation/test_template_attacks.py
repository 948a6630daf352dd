import numpy as np
import pytest

from iris_tf.evaluation.template_attacks import (
    LINKAGES,
    StoredTemplates,
    by_matcher,
    by_neighbours,
    by_power,
    recovered,
)
from iris_tf.matching.keyed_transform import KeyedTransform, levelled
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

LAYOUT = PhaseCodeLayout(size=16 * 8, columns=16, turns=2)
MATCHER = Matcher(LAYOUT)
TRANSFORMS = [KeyedTransform(SecretKey(bytes([n]) * 32), MATCHER) for n in (1, 2)]


def eyes(count, seed=0, noise=0.3):
    """Two embeddings of each eye, whose codes' spectra differ from eye to eye."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(count, 9, 8, 2)).view(complex)[..., 0]
    waves *= rng.gamma(1.0, size=(count, 9, 1))
    codes = np.fft.irfft(waves, 16, axis=1).reshape(count, -1)
    plain = np.concatenate([0.1 * rng.normal(size=(count, 6)), codes], axis=1)
    both = [plain + noise * plain.std() * rng.normal(size=plain.shape) for _ in range(2)]
    return [(one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for one in both]


def auc(scores):
    """Share of mated scores (the diagonal) above others of their row."""
    mated = np.diag(scores)[:, None]
    others = scores[~np.eye(len(scores), dtype=bool)].reshape(len(scores), -1)
    return (mated > others).mean() + (mated == others).mean() / 2


def test_lengths_link_templates_unless_they_are_levelled():
    first, second = eyes(60)
    raw = [
        StoredTemplates(transform._multiplied(eyes_, inverse=False), None, MATCHER)
        for transform, eyes_ in zip(TRANSFORMS, (first, second), strict=True)
    ]
    assert auc(by_power(*raw)) > 0.95
    stored = [StoredTemplates.of(t, e) for t, e in zip(TRANSFORMS, (first, second), strict=True)]
    assert abs(auc(by_power(*stored)) - 0.5) < 0.2
    assert abs(auc(by_matcher(*stored)) - 0.5) < 0.2


def test_the_neighbours_of_a_template_link_galleries_of_the_same_eyes():
    first, second = eyes(40, noise=0.01)
    stored = [StoredTemplates.of(t, e) for t, e in zip(TRANSFORMS, (first, second), strict=True)]
    assert auc(by_neighbours(*stored)) > 0.9


def test_every_linkage_gives_a_score_of_every_pair():
    first, second = (e[: 30 + 2 * n] for n, e in enumerate(eyes(40)))
    stored = [StoredTemplates.of(t, e) for t, e in zip(TRANSFORMS, (first, second), strict=True)]
    for name, linkage in LINKAGES.items():
        if name != "freedom":  # needs scores
            assert linkage(*stored).shape == (30, 32)


@pytest.mark.parametrize("known", [2, 8])
def test_known_templates_undo_a_transform(known):
    plain, _ = eyes(20)
    stored = StoredTemplates.of(TRANSFORMS[0], plain)
    mine, theirs = (
        StoredTemplates(stored.embeddings[part], None, MATCHER)
        for part in (slice(known), slice(known, None))
    )
    found = recovered(plain[:known], mine, theirs)
    cosines = np.einsum("ij,ij->i", found, levelled(plain, MATCHER)[known:])
    # A matrix has 8 columns, so eight templates tell all.
    assert (cosines > 0.9999).all() if known == 8 else (cosines < 0.8).all()
