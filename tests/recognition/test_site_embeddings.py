import dataclasses

import numpy as np
import pytest

from iris_tf import IrisRecognizer
from iris_tf.recognition import site_embeddings as module
from iris_tf.recognition.fit_scores import fit_at_sites
from iris_tf.recognition.site_embeddings import SitePlan, site_embeddings
from iris_tf.tflite.released_models import released_model
from iris_tf.tflite.score_model import ScoreModel

PLAN = SitePlan(2, 4, 2, seed=3, degraded=True)


@pytest.fixture(scope="module")
def recognizer():
    return IrisRecognizer()


@pytest.fixture(scope="module")
def folder(recognizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    list(site_embeddings(recognizer, PLAN, folder))
    return folder


def test_two_images_of_every_second_eye_are_degraded_too(recognizer, folder):
    for found in site_embeddings(recognizer, PLAN, folder):
        # Four eyes with two images, and two degraded ones of two eyes.
        assert len(found.eyes) + found.refused == 12
        assert len(found.vectors) == len(found.eyes)
        assert (np.bincount(found.eyes, minlength=4) <= [4, 2, 4, 2]).all()


def test_more_sites_do_not_change_those_that_there_are(recognizer, folder, monkeypatch):
    drawn = []

    def draw(seed, number):
        drawn.append(number)
        raise InterruptedError

    monkeypatch.setattr(module, "draw_site", draw)
    with pytest.raises(InterruptedError):
        list(site_embeddings(recognizer, dataclasses.replace(PLAN, sites=3), folder))
    assert drawn == [2]


def test_another_segmenter_computes_again(recognizer, folder, monkeypatch):
    monkeypatch.setattr(module, "draw_site", lambda seed, number: pytest.fail("drawn"))
    list(site_embeddings(recognizer, PLAN, folder))
    other = IrisRecognizer(segmenter_model=released_model("iris-segmenter", "float16"))
    with pytest.raises(pytest.fail.Exception, match="drawn"):
        list(site_embeddings(other, PLAN, folder))


def test_a_damaged_file_is_computed_again(recognizer, folder):
    path = folder / "site-001.npz"
    whole = np.load(path)["vectors"]
    path.write_bytes(path.read_bytes()[:1000])
    *_, found = site_embeddings(recognizer, PLAN, folder)
    np.testing.assert_array_equal(found.vectors, whole)


def test_scores_are_fitted_without_those_of_the_card(recognizer, folder, monkeypatch):
    """A new model's card has none yet."""
    matcher = dataclasses.replace(recognizer.matcher, score_model=None)
    monkeypatch.setattr(recognizer, "matcher", matcher)
    fitted = fit_at_sites(recognizer, PLAN, folder)
    assert ScoreModel.from_json(dataclasses.asdict(fitted)) == fitted
    assert fitted.slope > 0
    assert fitted.thresholds_from["cameras"] == 2
