import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, MATCHER, mates

from iris_tf.benchmark import gallery_speed
from iris_tf.benchmark.gallery_log import GalleryLog, positive_rate
from iris_tf.benchmark.gallery_speed import GalleryPlan, measure_gallery
from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.recognition.site_embeddings import SiteEmbeddings
from iris_tf.report.gallery_plot import write_gallery_plot
from iris_tf.support.errors import BenchmarkError


class Card:
    name, embedding_size, score = "drawn", KIND.embedding_size, MATCHER.score_model


@pytest.fixture
def drawn(monkeypatch):
    """The released recogniser, but of templates that tests draw."""
    from iris_tf.recognition.operating_points import OperatingPoints
    from iris_tf.recognition.recognizer import IrisRecognizer

    def start(self, *_):
        self.card, self.matcher, self.origin = Card(), MATCHER, KIND.origin
        thresholds = dict(MATCHER.score_model.thresholds)
        self._points = OperatingPoints(thresholds, "drawn", True, "far_1e-3")
        self.calibration = None

    first, second = mates(0, 100, noise=0.3)
    site = SiteEmbeddings(0, np.concatenate([first, second]), np.tile(np.arange(100), 2), 0)
    monkeypatch.setattr(IrisRecognizer, "__init__", start)
    monkeypatch.setattr(gallery_speed, "site_embeddings", lambda *_: [site])


def test_a_growing_gallery_is_measured_and_an_interrupted_measurement_continues(drawn, tmp_path):
    plan = GalleryPlan((1_000, 2_000), probes=5, exact=1, strangers=5)
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
    # What was measured is not measured again, nor is what came before needed.
    assert measure_gallery(None, tmp_path, plan) == result
    again = measure_gallery(None, tmp_path, GalleryPlan((2_000,), 9, 1, strangers=7))
    [row] = again["sizes"]
    assert (row["probes"], row["false_positives"]["fmr_1e-3"]["searches"]) == (10, 7)
    assert row["search_ms"] == result["sizes"][1]["search_ms"]
    with pytest.raises(BenchmarkError, match=r"holds 2,000 templates, more than 1,000"):
        measure_gallery(None, tmp_path, GalleryPlan((1_000,), 6, 1, strangers=5))
    write_gallery_plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    removal = measure_gallery(None, tmp_path, plan, remove=True)["removal"]
    assert removal["images"] == 2_000 and removal["removed_per_s"] > 0
    assert len(GalleryFolder(tmp_path / "gallery")) == 0
    assert not any(file.stat().st_size for file in (tmp_path / "gallery").glob("*-*.bin"))
    assert measure_gallery(None, tmp_path, plan, remove=True) == result


@pytest.mark.parametrize(
    "plan",
    [
        ((), 20, 1),
        ((1_500,), 20, 1),
        ((2_000, 1_000), 20, 1),
        ((1_000,), 0, 1),
        ((1_000,), 20, 0),
        ((1_000,), 20, 1, 0),
    ],
)
def test_plans_that_cannot_be(plan):
    with pytest.raises(BenchmarkError):
        GalleryPlan(*plan)


def test_an_interrupted_measurement_goes_on_at_the_search_where_it_was(
    drawn, tmp_path, monkeypatch
):
    from iris_tf.recognition.recognizer import IrisRecognizer

    plan = GalleryPlan((1_000,), probes=4, exact=1, strangers=30)
    identify, searches = IrisRecognizer.identify, []

    def counted(self, probe, gallery, point, exact=False):
        searches.append(point)
        if len(searches) == stop:
            raise KeyboardInterrupt
        return identify(self, probe, gallery, point, exact=exact)

    monkeypatch.setattr(IrisRecognizer, "identify", counted)
    # 20 + 1 + 1 timed, 4 mated, and 14 of 30 searches for strangers before the next is interrupted.
    stop = 26 + 15
    with pytest.raises(KeyboardInterrupt):
        measure_gallery(None, tmp_path / "stopped", plan)
    searches.clear()
    stop = -1
    result = measure_gallery(None, tmp_path / "stopped", plan)
    assert len(searches) == 30 - 14
    straight = measure_gallery(None, tmp_path / "straight", plan)
    for row, expected in zip(result["sizes"], straight["sizes"], strict=True):
        for name in ("probes", "accepted", "found", "false_positives", "exact_same"):
            assert row[name] == expected[name]


def test_strangers_come_from_all_sites_alike(monkeypatch, tmp_path):
    class Population:
        sites = 4

    measurement = gallery_speed._Measurement.__new__(gallery_speed._Measurement)
    measurement._population = Population()
    for strangers, blocks, each in ((1_000, 4, 250), (10_000, 12, 834), (3, 4, 1)):
        measurement._plan = GalleryPlan(strangers=strangers)
        _, found = measurement._wanted(100_000)
        assert list(found.values()) == [each] * blocks
        assert min(map(int, found)) >= 1_000_000  # never enrolled
        numbers = [int(block) % 4 for block in found]
        assert [numbers.count(site) for site in range(4)] == [blocks // 4] * 4
    mated, _ = measurement._wanted(100_000)
    assert sum(mated.values()) == 1_000 and [*mated][:1] == ["0"] and [*mated][-1] == "99"


def test_the_rate_of_false_positives_has_an_exact_interval():
    # By hand: with none of n, the upper limit is that at which (1 - p)^n = 0.025.
    found = positive_rate([0.0] * 200, 1.0, 1e-2)
    assert found["interval"] == pytest.approx([0.0, 1 - 0.025 ** (1 / 200)])
    # With all of n, the lower limit is that at which p^n = 0.025.
    found = positive_rate([1.0, 2.0, 3.0], 1.0, 1e-2)
    assert (found["accepted"], found["rate"]) == (3, 1.0)
    assert found["interval"] == pytest.approx([0.025 ** (1 / 3), 1.0])


def test_false_positives_of_strangers_are_those_that_were_drawn(drawn, tmp_path):
    """The rates that a naive loop over strangers and templates gives."""
    from iris_tf.recognition.recognizer import IrisRecognizer

    plan = GalleryPlan((1_000,), probes=1, exact=1, strangers=30)
    [row] = measure_gallery(None, tmp_path, plan)["sizes"]
    population = gallery_speed.TemplatePopulation(gallery_speed.site_embeddings(), MATCHER)
    stored = gallery_speed.GalleryFolder(tmp_path / "gallery").load()
    probes = population.enrolled(1_000_000)[:30]
    best = IrisRecognizer().scores(probes, stored.embeddings).max(axis=1)
    for rate, found in row["false_positives"].items():
        threshold = MATCHER.score_model.threshold(rate, 1_000)
        assert found["threshold"] == pytest.approx(threshold)
        assert found["accepted"] == sum(score >= threshold for score in best)


def test_results_of_another_model_are_not_mixed(tmp_path):
    log = GalleryLog(tmp_path / "log.json", {"model": "a"})
    log.of(1_000).strangers["5"] = [1.5]
    log.save()
    assert GalleryLog(tmp_path / "log.json", {"model": "a"}).of(1_000).strangers == {"5": [1.5]}
    with pytest.raises(BenchmarkError, match="another model, card or version"):
        GalleryLog(tmp_path / "log.json", {"model": "b"})
    (tmp_path / "log.json").write_text("[]")
    with pytest.raises(BenchmarkError, match="is no log of this benchmark"):
        GalleryLog(tmp_path / "log.json", {"model": "a"})
