import pytest

from iris_tf.config.release_recipe import ScoresRecipe
from iris_tf.pipelines import score_stage as module
from iris_tf.pipelines.score_stage import score_stage
from iris_tf.pipelines.stages import Stages
from iris_tf.tflite.released_models import RECOGNITION, released_model

SITES = ScoresRecipe(sites=1, eyes=3, images=2, seed=1)


def test_scores_are_fitted_once_for_the_same_sites(tmp_path, monkeypatch):
    stages, model = Stages(tmp_path, "seed: 0\n"), released_model(RECOGNITION)
    fitted = score_stage(stages, SITES, model)
    assert fitted is not None and fitted.thresholds_from["cameras"] == 1
    monkeypatch.setattr(module, "fit_at_sites", lambda *_: pytest.fail("fitted again"))
    assert score_stage(stages, SITES, model) == fitted
    with pytest.raises(pytest.fail.Exception):
        score_stage(stages, ScoresRecipe(sites=2, eyes=3, images=2, seed=1), model)


def test_without_sites_there_are_no_scores(tmp_path):
    assert score_stage(Stages(tmp_path, ""), ScoresRecipe(), released_model(RECOGNITION)) is None
    assert not (tmp_path / "score.json").exists()
