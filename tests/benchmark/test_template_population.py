import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, LAYOUT, LEARNED, MATCHER, mates

from iris_tf.benchmark.template_population import BLOCK, TemplatePopulation, before_limiting
from iris_tf.recognition.site_embeddings import SiteEmbeddings
from iris_tf.support.errors import BenchmarkError


@pytest.fixture(scope="module")
def site():
    first, second = mates(0, 150)
    return SiteEmbeddings(0, np.concatenate([first, second]), np.tile(np.arange(150), 2), 0)


@pytest.fixture(scope="module")
def population(site):
    return TemplatePopulation([site], MATCHER)


def test_correlations_before_limiting_are_those_of_a_simulation():
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=(2, 400_000)) + 1j * rng.normal(size=(2, 400_000))
    for correlation in (0.2, 0.6, 0.9):
        second = correlation * first + np.sqrt(1 - correlation**2) * other
        limited = (first / abs(first) * (second / abs(second)).conj()).mean().real
        assert before_limiting(limited) == pytest.approx(correlation, abs=0.006)
    assert before_limiting(0.0) == 0.0
    assert before_limiting(1.0) == 1.0


def test_eyes_are_the_same_whenever_they_are_asked_for(population, site):
    first = population.enrolled(3)
    assert first.shape == (BLOCK, KIND.embedding_size)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(population.enrolled(3), first)
    np.testing.assert_array_equal(population.again(3, 5), population.again(3, 5))
    fresh = TemplatePopulation([site], MATCHER, seed=1)
    assert not np.allclose(fresh.enrolled(3), first)


def test_strangers_and_mates_score_as_those_they_are_drawn_from(population, site):
    def scores(probes, gallery):
        found = MATCHER.scores(MATCHER.describe(probes), MATCHER.describe(gallery)).values
        same = np.eye(*found.shape, dtype=bool)
        return found[same], found[~same]

    base_mates, base_strangers = scores(site.vectors[150:], site.vectors[:150])
    drawn_mates, drawn_strangers = scores(population.again(0, 300), population.enrolled(0)[:300])
    for level, tolerance in ((0.5, 0.3), (0.9, 0.4), (0.99, 0.7)):
        assert np.quantile(drawn_strangers, level) == pytest.approx(
            np.quantile(base_strangers, level), abs=tolerance
        )
    for level in (0.1, 0.5, 0.9):
        assert np.quantile(drawn_mates, level) == pytest.approx(
            np.quantile(base_mates, level), rel=0.15
        )


def test_hidden_places_are_those_of_the_site(population, site):
    masks = {tuple(row) for row in (site.vectors[:, LEARNED:] == 0).tolist()}
    drawn = population.enrolled(1)[:50, LEARNED:] == 0
    assert {tuple(row) for row in drawn.tolist()} <= masks
    assert drawn.shape[1] == LAYOUT.size


def test_a_site_without_two_images_of_an_eye_is_refused(site):
    alone = SiteEmbeddings(0, site.vectors[:150], np.arange(150), 0)
    with pytest.raises(BenchmarkError, match="no two images of one eye"):
        TemplatePopulation([alone], MATCHER)
