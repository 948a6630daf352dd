"""`iris-tf export`: from a run folder to ``.tflite`` files with their model card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import iris_tf
from iris_tf.datasets.manifest import read_manifest, read_settings
from iris_tf.datasets.roi_store import load_rois
from iris_tf.evaluation.evaluate import evaluate_embeddings
from iris_tf.export.tflite import export_model
from iris_tf.files import replace_folder
from iris_tf.inference.model_card import CARD_NAME, ModelCard, ModelFile
from iris_tf.networks.embed import embed_rois, load_embedding_model
from iris_tf.run_folder import RunFolder

_PARITY_CROPS = 16


def export_run(
    path: str | Path, precisions: Sequence[str] = ("float32", "float16")
) -> tuple[Path, ModelCard]:
    """Export the best checkpoint of a run to ``RUN/models/``.

    The card's thresholds are estimated on the run's validation split, with the
    Keras model that every exported file must agree with.

    Parameters
    ----------
    path : str or Path
        Run folder.
    precisions : sequence of str
        See `export.tflite.export_model`.

    Returns
    -------
    folder : Path
        ``RUN/models``; replaced as a whole, so that card and files belong together.
    card : ModelCard

    Raises
    ------
    ModelError, DatasetError
        When the run has no model yet or its dataset is gone.
    EvaluationError
        When the validation split gives no comparisons to set a threshold by.
    ExportError
        When a file does not agree with the Keras model.
    """
    run = RunFolder.open(path)
    recipe, settings = run.recipe(), read_settings(run.dataset_description)
    model = load_embedding_model(run.best_model())
    rows = read_manifest(run.manifest)
    validation = [row for row in rows if row.split == "val"]
    rois = load_rois(validation, recipe.dataset, tuple(recipe.network.input_size))
    evaluation = evaluate_embeddings(embed_rois(model, rois), validation, resamples=0)
    spread = np.linspace(0, len(rois) - 1, min(_PARITY_CROPS, len(rois))).astype(int)
    name = run.path.resolve().name
    training = [row for row in rows if row.split == "train"]
    with replace_folder(run.models) as folder:
        files = export_model(model, folder, name, precisions, parity_rois=rois[spread])
        card = ModelCard(
            name=name,
            network=recipe.network.name,
            roi_mode=settings["roi_mode"],
            segmenter=settings["segmenter"],
            input_size=tuple(recipe.network.input_size),
            embedding_size=recipe.network.embedding_size,
            thresholds=evaluation["thresholds"],
            thresholds_from={
                "dataset": _dataset_name(settings),
                "split": "val",
                "genuine_comparisons": evaluation["counts"]["genuine_comparisons"],
                "impostor_comparisons": evaluation["counts"]["impostor_comparisons"],
            },
            files={
                file.path.name: ModelFile(file.precision, file.sha256, file.bytes) for file in files
            },
            training_data=(
                f"{_dataset_name(settings)}: {len(training)} images of "
                f"{len({row.identity for row in training})} identities"
            ),
            parity={file.precision: file.parity_min_cosine for file in files},
            metrics={"validation": evaluation["metrics"]},
            created_by=f"iris_tf {iris_tf.__version__}",
        )
        card.write(folder / CARD_NAME)
    return run.models, card


def _dataset_name(settings: dict) -> str:
    return "synthetic eyes" if settings["synthetic"] else settings["layout"]
