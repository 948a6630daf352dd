"""The JSON form of all figures, against files that version 0.1.0 wrote."""

import json
from pathlib import Path

import pytest

from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.metrics import Metrics, OperatingPointErrors, ScoredPair

EARLIER = Path(__file__).parents[1] / "data" / "written_by_0_1_0"


@pytest.fixture(
    params=["pipeline/student/evaluation_float32/metrics.json", "metrics_pair_lists.json"]
)
def earlier(request):
    return json.loads((EARLIER / request.param).read_text())["evaluation"]


def test_a_file_of_an_earlier_version_is_read_and_written_back_equal(earlier):
    metrics = Metrics.from_json(earlier)
    assert metrics.to_json() == earlier
    assert json.loads(json.dumps(metrics.to_json(), allow_nan=False)) == earlier


def test_figures_of_an_earlier_version_are_found_by_name(earlier):
    metrics = Metrics.from_json(earlier)
    listed = earlier["protocol"] == "pair-lists"
    assert metrics.counts.subjects == earlier["counts"]["persons"]
    assert metrics.eer == earlier["metrics"]["eer"]
    assert metrics.bounds("eer") == earlier["intervals"]["bounds"]["eer"]
    point = earlier["operating_points"]["fmr_1e-2"]
    assert metrics.operating_points["fmr_1e-2"] == OperatingPointErrors(**point)
    assert set(metrics.supported()) == {
        name for name, point in earlier["operating_points"].items() if point["supported"]
    }
    assert metrics.worst.impostor[0] == ScoredPair(*earlier["worst"]["impostor"][0])
    assert (metrics.open_set is None) == (metrics.counts.probes == 0) == listed


def test_what_is_written_is_read_back_as_it_was(population):
    for resamples in (0, 10):
        metrics = evaluate_embeddings(
            *population(6, 3), resamples=resamples, matcher=Matcher()
        ).metrics
        assert Metrics.from_json(json.loads(json.dumps(metrics.to_json()))) == metrics


def test_figures_that_the_earliest_files_lack_are_empty(earlier):
    for name in ("eer_point", "operating_points", "open_set"):
        del earlier[name]
    metrics = Metrics.from_json(earlier)
    assert (metrics.eer_point, metrics.operating_points, metrics.open_set) == (None, {}, None)
    assert metrics.eer == earlier["metrics"]["eer"]
