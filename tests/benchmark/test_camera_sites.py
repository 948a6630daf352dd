import itertools
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from iris_tf import IrisRecognizer
from iris_tf.benchmark import camera_sites
from iris_tf.benchmark.camera_sites import SiteFigures
from iris_tf.cli.app import app
from iris_tf.recognition import site_embeddings
from iris_tf.recognition.site_embeddings import SiteEmbeddings, SitePlan
from iris_tf.support.errors import ArgumentError, BenchmarkError

ARGUMENTS = ["benchmark", "cameras", "--sites", "2", "--eyes", "3", "--images", "2"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Output of the command, its JSON, and its folder."""
    folder = tmp_path_factory.mktemp("cameras")
    out = folder / "figures.json"
    result = CliRunner().invoke(app, [*ARGUMENTS, "--cache", str(folder / "c"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return result.output, json.loads(out.read_text()), folder


def test_figures_are_those_of_a_plain_loop(measured):
    _, figures, folder = measured
    recognizer = IrisRecognizer()
    for site in figures["sites"]:
        kept = np.load(folder / "c" / f"site-00{site['site']}.npz")
        errors = {"fmr_1e-2": 0, "fmr_1e-3": 0, "fmr_1e-4": 0}
        genuine = impostor = 0
        for i, j in itertools.combinations(range(len(kept["eyes"])), 2):
            [[score]] = recognizer.scores(kept["vectors"][[i]], kept["vectors"][[j]])
            same = kept["eyes"][i] == kept["eyes"][j]
            genuine, impostor = genuine + same, impostor + (not same)
            for name in errors:
                errors[name] += same and score < recognizer.thresholds[name]
        assert (site["genuine"], site["impostor"]) == (genuine, impostor)
        assert site["images"] + site["refused"] == 6
        assert site["fnmr"] == pytest.approx({k: v / genuine for k, v in errors.items()})
        # Some ten impostor comparisons support no FMR.
        assert set(site["fmr_over_claim"].values()) == {None}
    assert figures["worst"]["eer"] == max(site["eer"] for site in figures["sites"])
    assert figures["median"]["eer"] == pytest.approx(sum(s["eer"] for s in figures["sites"]) / 2)


def test_complete_sites_are_not_embedded_again(measured, monkeypatch):
    output, figures, folder = measured
    monkeypatch.setattr(site_embeddings, "draw_site", None)
    found = camera_sites.measure_cameras(None, SitePlan(2, 3, 2), folder / "c")
    assert found == figures
    with pytest.raises(TypeError):  # another plan needs other images
        camera_sites.measure_cameras(None, SitePlan(2, 3, 2, seed=1), folder / "c")
    assert "worst" in output and "median" in output


def test_shares_and_ranks_by_hand(monkeypatch):
    """Two images of each of 40 eyes; the matcher is replaced by a table of scores."""
    scores = np.full((80, 80), -5.0)
    eyes = np.repeat(np.arange(40), 2)
    genuine = eyes[:, None] == eyes[None]
    scores[genuine] = 9.0
    scores[0, 1] = -np.inf  # one of 40 genuine comparisons
    scores[2, 40:60] = 3.0  # 20 of 3,120 impostor comparisons

    class Table:
        score_model = type("", (), {"thresholds": {f"fmr_1e-{k}": float(k) for k in (2, 3, 4)}})

        def describe(self, vectors):
            return vectors

        def scores(self, first, second):
            return type("", (), {"values": scores})

    found = SiteFigures.of(SiteEmbeddings(0, np.zeros((80, 1)), eyes, 3), Table())
    assert (found.genuine, found.impostor) == (40, 3120)
    assert found.inconclusive_genuine == pytest.approx(1 / 40)
    assert found.fmr_over_claim == {
        "fmr_1e-2": pytest.approx(20 / 3120 / 1e-2), "fmr_1e-3": None, "fmr_1e-4": None,
    }  # fmt: skip
    assert found.fnmr == {f"fmr_1e-{k}": pytest.approx(1 / 40) for k in (2, 3, 4)}


def test_a_site_without_comparisons_says_so():
    one = SiteEmbeddings(4, np.zeros((2, 1)), np.zeros(2, int), 4)
    with pytest.raises(BenchmarkError, match="Site 4: 4 of 6 images were refused"):
        SiteFigures.of(one, None)


@pytest.mark.parametrize("change", [{"sites": 0}, {"eyes": 1}, {"images": 1}, {"seed": -1}])
def test_plans_without_comparisons_are_refused(change):
    with pytest.raises(ArgumentError, match="no comparisons"):
        SitePlan(**change)
