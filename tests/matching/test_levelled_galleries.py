"""Galleries keep what scores need to know of levelled phase codes, which takes long to compute."""

import dataclasses

import numpy as np
from one_thread import one_thread  # noqa: F401
from template_population import KIND, LAYOUT, LEARNED, MATCHER, mates

from iris_tf.matching import phase_evidence
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.matching.gallery_journal import EnrolledImage
from iris_tf.matching.gallery_search import Search
from iris_tf.matching.levelling import levelled_codes
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet
from iris_tf.tflite.score_model import Levelling

LEVELLINGS = [
    Levelling(tuple(1.0 / (1.0 + rate * n) for n in range(LAYOUT.columns // 2 + 1)), 0.6)
    for rate in (0.1, 0.3)
]
ENROLLED, PROBES = mates(31, 120)


def matcher_with(levelling):
    return Matcher(LAYOUT, dataclasses.replace(MATCHER.score_model, levelling=levelling))


def filled(path, levelling):
    gallery = GalleryFolder.make(path, dataclasses.replace(KIND, levelling=levelling))
    with gallery.writing() as writer:
        writer.add([EnrolledImage(f"p{n}") for n in range(120)], ENROLLED)
    return GalleryFolder(path)


def test_figures_are_those_of_levelled_codes(tmp_path):
    gallery = filled(tmp_path / "g", LEVELLINGS[0])
    whole = gallery.load()
    plain = whole.embeddings[:, LEARNED:]
    levelled = CodeSet.of(levelled_codes(plain, LAYOUT, LEVELLINGS[0]), LAYOUT)
    expected = [levelled.spread, levelled.smoothness, CodeSet.of(plain, LAYOUT).spread]
    np.testing.assert_allclose(whole.figures, np.stack(expected, axis=1), rtol=1e-5)
    assert whole.levelling == whole[np.arange(3)].levelling == LEVELLINGS[0]
    assert gallery.kind.levelling == LEVELLINGS[0]


def test_they_are_used_by_searches_with_the_same_levelling(tmp_path, monkeypatch):
    gallery = filled(tmp_path / "g", LEVELLINGS[0])
    compute, computed = phase_evidence._figures, []

    def counted(responses, *rest):
        computed.append(len(responses))
        return compute(responses, *rest)

    monkeypatch.setattr(phase_evidence, "_figures", counted)
    for levelling, expected in ((LEVELLINGS[0], 1), (LEVELLINGS[1], 121), (None, 121)):
        computed.clear()
        gallery.compared(Search(PROBES[7], matcher_with(levelling), True))
        assert sum(computed) == expected  # the probe's alone, or those of all templates, too


def test_scores_are_right_whatever_the_levelling_of_gallery_and_matcher(tmp_path):
    galleries = {
        levelling: filled(tmp_path / f"{number}", levelling)
        for number, levelling in enumerate((None, *LEVELLINGS))
    }
    stored = galleries[None].load().embeddings
    for matcher in map(matcher_with, (None, *LEVELLINGS)):
        probe, templates = matcher.describe(PROBES[7:8]), matcher.describe(stored)
        expected = matcher.scores(probe, templates).values[0]
        for gallery in galleries.values():
            found = gallery.compared(Search(PROBES[7], matcher, True))
            np.testing.assert_allclose(found.scores, expected, atol=2e-3)


def test_a_file_does_not_keep_figures_that_it_cannot_explain(tmp_path):
    for number, levelling in enumerate((None, LEVELLINGS[0])):
        filled(tmp_path / f"{number}", levelling).load().save(tmp_path / f"{number}.npz")
        loaded = Gallery.load(tmp_path / f"{number}.npz")
        assert (loaded.figures is None) == (levelling is not None)
        assert loaded.levelling is None


def test_transformed_templates_are_not_levelled_again():
    levelled = dataclasses.replace(KIND, levelling=LEVELLINGS[0])
    keyed = dataclasses.replace(KIND.origin, transform="feedc0de")
    assert levelled.with_origin(keyed).levelling is None
    assert levelled.with_origin(KIND.origin).levelling == LEVELLINGS[0]
