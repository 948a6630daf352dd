"""iris_tf: from near-infrared eye images to small TFLite iris-recognition models.

Importing the package is cheap: TensorFlow is loaded only by the modules that
train or export, and what stands here only when it is asked for.
"""

from typing import TYPE_CHECKING

from iris_tf.support.version import __version__ as __version__

if TYPE_CHECKING:
    from iris_tf.matching.gallery import Gallery as Gallery
    from iris_tf.matching.template import Template as Template
    from iris_tf.recognition.recognizer import IrisRecognizer as IrisRecognizer


__all__ = ["Gallery", "IrisRecognizer", "Template", "__version__"]

_PLACES = {
    "Gallery": "iris_tf.matching.gallery",
    "IrisRecognizer": "iris_tf.recognition.recognizer",
    "Template": "iris_tf.matching.template",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
