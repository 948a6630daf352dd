"""Registry of the precisions that a model can be exported in.

Recipe checks, export, cards, reports and the command line use this registry. Conversion functions
need TensorFlow and are registered under the same names in `iris_tf.exporting.conversion.converts`.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """Precision of an exported model's weights and activations.

    Attributes
    ----------
    name : str
        Name in recipes, cards, reports and file names.
    summary : str
        Short human-readable description.
    weight_bits : int
        Bits of a stored weight.
    activation_bits : int
        Bits of the activations that convolutions and matrix products take.
    min_cosine : float
        Parity bound: least cosine similarity between the file's and the Keras model's embedding
        of the same crop.
    dashes : tuple of float
        Line style in plots: lengths of dashes and gaps in points; empty for a solid line.
    line : str
        The line style in one word, for captions.
    suffix : str
        File name suffix, which identifies the file format.
    former_names : tuple of str
        Names in older cards. They take precedence over the name of another precision.
    calibrated : bool
        Whether ranges of activations are fixed at export, estimated from crops.
    """

    name: str
    summary: str
    weight_bits: int
    activation_bits: int
    min_cosine: float
    dashes: tuple[float, ...]
    line: str
    suffix: str = ".tflite"
    former_names: tuple[str, ...] = ()
    calibrated: bool = False

    def file_name(self, model: str) -> str:
        """Name of the file that holds `model` at this precision."""
        return f"{model}_{self.name}{self.suffix}"


FLOAT32 = "float32"
"""Name of the precision that others are made from."""

_REGISTERED = (
    # By default, runtimes convert float16 weights to float32 and compute in float32.
    Precision(FLOAT32, "full precision", 32, 32, 0.9999, (), "solid"),
    Precision("float16", "16-bit weights", 16, 32, 0.9999, (4, 2), "dashed"),
    Precision(
        "int16x8",
        "8-bit weights, 16-bit activations",
        8,
        16,
        0.95,
        (6, 2, 1, 2),
        "dash-dotted",
        calibrated=True,
    ),
    # Dynamic range: activations are quantised at run time, where kernels support integers.
    Precision("dynamic8", "8-bit weights", 8, 8, 0.95, (1, 1.5), "dotted", former_names=("int8",)),
    Precision(
        "int8", "8-bit integers", 8, 8, 0.95, (3, 1, 1, 1, 1, 1), "dash-dot-dotted", calibrated=True
    ),
    # Of convolutions and matrix products; LiteRT's depthwise ones have 8 bits.
    Precision("dynamic4", "4-bit weights", 4, 8, 0.8, (9, 3), "long-dashed"),
)

PRECISIONS: dict[str, Precision] = {precision.name: precision for precision in _REGISTERED}
"""All precisions by name, highest precision first."""

DEFAULT_PRECISIONS = ("float32", "float16")
"""Precisions that are exported by default."""

RELEASED_PRECISION = "float16"
"""Precision of the released files that are installed with the package."""


def finest(names: Iterable[str]) -> str:
    """The highest of some precisions; models are compared at it.

    Parameters
    ----------
    names : iterable of str
        From `PRECISIONS`, at least one.

    Returns
    -------
    str

    Examples
    --------
    >>> finest(["int8", "float16"])
    'float16'
    """
    return min(names, key=list(PRECISIONS).index)


def any_calibrated(names: Iterable[str]) -> bool:
    """Whether files in some of these precisions need ranges of activations; unknown ones do not."""
    return any(name in PRECISIONS and PRECISIONS[name].calibrated for name in names)


def current_name(name: str) -> str:
    """Current name of a precision in a card of schema 1; an unknown name is returned unchanged."""
    for precision in PRECISIONS.values():
        if name in precision.former_names:
            return precision.name
    return name
