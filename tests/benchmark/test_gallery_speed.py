import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, MATCHER, mates

from iris_tf.benchmark import gallery_speed
from iris_tf.benchmark.gallery_speed import GalleryPlan, measure_gallery
from iris_tf.recognition.site_embeddings import SiteEmbeddings
from iris_tf.report.gallery_plot import write_gallery_plot
from iris_tf.support.errors import BenchmarkError


class Card:
    name, embedding_size, score = "drawn", KIND.embedding_size, MATCHER.score_model


@pytest.fixture
def drawn(monkeypatch):
    """The released recogniser, but of templates that tests draw."""
    from iris_tf.recognition.recognizer import IrisRecognizer

    def start(self, *_):
        self.card, self.matcher, self.origin = Card(), MATCHER, KIND.origin
        self.thresholds, self.calibration = dict(MATCHER.score_model.thresholds), None

    first, second = mates(0, 100, noise=0.3)
    site = SiteEmbeddings(0, np.concatenate([first, second]), np.tile(np.arange(100), 2), 0)
    monkeypatch.setattr(IrisRecognizer, "__init__", start)
    monkeypatch.setattr(gallery_speed, "site_embeddings", lambda *_: [site])


def test_a_growing_gallery_is_measured_and_an_interrupted_measurement_continues(drawn, tmp_path):
    plan = GalleryPlan((1_000, 2_000), probes=5, exact=1)
    result = measure_gallery(None, tmp_path, plan)
    assert [row["images"] for row in result["sizes"]] == [1_000, 2_000]
    for row in result["sizes"]:
        assert row["enrolled_per_s"] > 50
        assert row["found"] == row["accepted"] > 2
        assert row["exact_same"] == row["exact"] == 1
        assert row["search_ms"] > row["opening_ms"] > 0
        assert row["ratio"] > 1
        assert row["bytes"] > row["images"] * 500
        assert row["false_positives"]["fmr_1e-2"]["searches"] == 5
    again = measure_gallery(None, tmp_path, GalleryPlan((2_000,), 5, 1))
    assert again["sizes"][0]["enrolled_per_s"] is None
    with pytest.raises(BenchmarkError, match=r"holds 2,000 templates, more than 1,000"):
        measure_gallery(None, tmp_path, GalleryPlan((1_000,), 5, 1))
    write_gallery_plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "plan",
    [((), 20, 1), ((1_500,), 20, 1), ((2_000, 1_000), 20, 1), ((1_000,), 0, 1), ((1_000,), 20, 0)],
)
def test_plans_that_cannot_be(plan):
    with pytest.raises(BenchmarkError):
        GalleryPlan(*plan)
