"""iris_tf: from near-infrared eye images to small TFLite iris-recognition models.

Importing the package is cheap: what stands here is loaded when it is first asked for, and
TensorFlow only by `train`, `export`, and an `evaluate` of models that are not ``.tflite`` files.
"""

from typing import TYPE_CHECKING

from iris_tf.support.version import __version__ as __version__

if TYPE_CHECKING:
    from iris_tf.config.training_recipe import TrainRecipe as TrainRecipe
    from iris_tf.data.manifest import read_manifest as read_manifest
    from iris_tf.exporting.export_run import export_run as export
    from iris_tf.matching.embeddings import Embeddings as Embeddings
    from iris_tf.matching.gallery import Gallery as Gallery
    from iris_tf.matching.keyed_transform import KeyedTransform as KeyedTransform
    from iris_tf.matching.secret_keys import SecretKey as SecretKey
    from iris_tf.matching.template import Template as Template
    from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings as evaluate_embeddings
    from iris_tf.pipelines.evaluation_stage import evaluate as evaluate
    from iris_tf.preparation.prepare_dataset import prepare as prepare
    from iris_tf.recognition.recognizer import IrisRecognizer as IrisRecognizer
    from iris_tf.report.det_curve import plot_det as plot_det
    from iris_tf.support.errors import ExtractionError as ExtractionError
    from iris_tf.support.errors import IrisTfError as IrisTfError
    from iris_tf.training.train_model import train as train


__all__ = [
    "Embeddings",
    "ExtractionError",
    "Gallery",
    "IrisRecognizer",
    "IrisTfError",
    "KeyedTransform",
    "SecretKey",
    "Template",
    "TrainRecipe",
    "__version__",
    "evaluate",
    "evaluate_embeddings",
    "export",
    "plot_det",
    "prepare",
    "read_manifest",
    "train",
]

_PLACES = {
    "Embeddings": "matching.embeddings.Embeddings",
    "ExtractionError": "support.errors.ExtractionError",
    "Gallery": "matching.gallery.Gallery",
    "IrisRecognizer": "recognition.recognizer.IrisRecognizer",
    "IrisTfError": "support.errors.IrisTfError",
    "KeyedTransform": "matching.keyed_transform.KeyedTransform",
    "SecretKey": "matching.secret_keys.SecretKey",
    "Template": "matching.template.Template",
    "TrainRecipe": "config.training_recipe.TrainRecipe",
    "evaluate": "pipelines.evaluation_stage.evaluate",
    "evaluate_embeddings": "metrics.evaluate_embeddings.evaluate_embeddings",
    "export": "exporting.export_run.export_run",
    "plot_det": "report.det_curve.plot_det",
    "prepare": "preparation.prepare_dataset.prepare",
    "read_manifest": "data.manifest.read_manifest",
    "train": "training.train_model.train",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _PLACES[name].rpartition(".")
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
