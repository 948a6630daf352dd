"""Stage that fits the scores of a released model's card at generated sites."""

import dataclasses
from pathlib import Path

from iris_tf.config.names import CARD_NAME
from iris_tf.config.release_recipe import ScoresRecipe
from iris_tf.pipelines.stages import Stages
from iris_tf.recognition.fit_scores import fit_at_sites
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.recognition.site_embeddings import SitePlan
from iris_tf.support.files import write_json
from iris_tf.support.foreign_files import read_object
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.score_model import ScoreModel


def score_stage(stages: Stages, settings: ScoresRecipe, model: Path) -> ScoreModel | None:
    """Fit the scores of a model, unless that was done before.

    Parameters
    ----------
    stages : Stages
        Of the pipeline; embeddings and scores are kept in its folder.
    settings : ScoresRecipe
        Which sites.
    model : Path
        A ``.tflite`` file beside its card.

    Returns
    -------
    ScoreModel or None
        None if there are to be no scores, or the model has no phase code.
    """
    phase = ModelCard.read(model.with_name(CARD_NAME)).phase
    if not settings.sites or phase is None:
        return None
    plan = SitePlan(**dataclasses.asdict(settings), degraded=True)
    recognizer = IrisRecognizer(model)
    # Scores of the export would have images refused, whose comparisons are part of the fit.
    recognizer.card = dataclasses.replace(recognizer.card, score=None)
    fitted = stages.folder / "score.json"
    stages.run(
        "fit scores",
        {"model": model, "sites": dataclasses.asdict(plan), "phase": dataclasses.asdict(phase)},
        [fitted],
        lambda: write_json(
            fitted,
            dataclasses.asdict(fit_at_sites(recognizer, plan, stages.folder / "sites")),
        ),
    )
    return ScoreModel.from_json(read_object(fitted))
