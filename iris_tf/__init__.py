"""iris_tf: from near-infrared eye images to small TFLite iris-recognition models.

Importing the package is cheap: TensorFlow is loaded only by the modules that
train or export, and what stands here only when it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iris_tf.inference.recognizer import IrisRecognizer as IrisRecognizer
    from iris_tf.inference.template import Template as Template

__version__ = "0.1.0"

_PLACES = {
    "IrisRecognizer": "iris_tf.inference.recognizer",
    "Template": "iris_tf.inference.template",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
