import json

import numpy as np
import pytest
from typer.testing import CliRunner

from iris_tf.benchmark.template_protection import KNOWN, ProtectedSite, summary
from iris_tf.cli.app import app
from iris_tf.matching.matcher import Matcher
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

THRESHOLDS = {f"fmr_1e-{n}": 2.0 * n - 3.0 for n in range(2, 7)}
# 16 columns of 4 rows, two filters, real and imaginary parts.
MATCHER = Matcher(
    PhaseCodeLayout(size=16 * 16, columns=16, turns=2),
    ScoreModel(-4.0, 0.9, 8.0, 0.35, 10.0, THRESHOLDS),
)


def a_site(eyes=30, images=3, noise=0.6, seed=0):
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(eyes, 8 + 256)), images, axis=0)
    vectors += noise * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(eyes), images)


@pytest.fixture(scope="module")
def site():
    return ProtectedSite.of(*a_site(), MATCHER, 0)


def test_errors_are_those_of_a_plain_loop(site):
    vectors, eyes = a_site()
    scores = MATCHER.scores(*[MATCHER.describe(vectors)] * 2).values
    false = genuine = missed = impostor = 0
    for i in range(len(eyes)):
        for j in range(len(eyes)):
            if eyes[i] != eyes[j]:
                impostor, false = impostor + 1, false + (scores[i, j] >= THRESHOLDS["fmr_1e-4"])
            elif i != j:
                genuine, missed = genuine + 1, missed + (scores[i, j] < THRESHOLDS["fmr_1e-4"])
    assert site.errors["plain"] == pytest.approx([false / impostor, missed / genuine])
    assert all(len(m) == genuine and len(n) == impostor for m, n in site.links.values())


def test_what_is_known_undoes_the_transform(site):
    cosines, accepted = site.reversal.T
    known = np.array(KNOWN)
    # A code's matrices have 16 columns, the learned component's has 8; 45 images are known.
    assert (cosines[(known >= 16) & (known <= 45)] > 0.9999).all()
    assert cosines[0] < 0.5 and np.isnan(cosines[known > 45]).all()
    # What is recovered is as like another image of the eye as the true embedding is.
    assert accepted[0] < 0.5 * accepted[known == 32]
    assert accepted[known == 32] == pytest.approx(1.0 - site.errors["transformed"][1], abs=0.1)


def test_the_summary_of_sites(site):
    other = ProtectedSite.of(*a_site(seed=1), MATCHER, 1)
    found = summary([site, other])
    assert found["errors"]["plain"]["fnmr"] == pytest.approx(
        (site.errors["plain"][1] + other.errors["plain"][1]) / 2
    )
    eer = found["eer"]
    assert eer["difference"] == pytest.approx(eer["transformed"] - eer["plain"])
    assert eer["interval"][0] <= eer["difference"] <= eer["interval"][1]
    matcher = found["linkage"]["matcher"]
    assert abs(matcher["d_sys"] - matcher["chance"]) < 0.15
    # Of 15 eyes of 3 images, 32 images can be known, but not 64.
    assert [row["known"] for row in found["reversal"]] == [1, 2, 4, 8, 16, 32]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_command_prints_and_writes(tmp_path):
    out = tmp_path / "figures.json"
    size = ["--sites", "1", "--eyes", "8", "--images", "3"]
    command = ["benchmark", "protection", *size, "--cache", str(tmp_path / "c"), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "D_sys" in result.output and f"written to {out}" in result.output
    assert set(json.loads(out.read_text())) >= {"eer", "errors", "linkage", "reversal"}
