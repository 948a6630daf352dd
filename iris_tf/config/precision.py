"""The precisions that a model can be exported in, each described once.

Every other place asks this registry: recipe checks, export, cards, reports and the command line.
How a model is converted needs TensorFlow and lies with the export
(`iris_tf.export.conversion.converts`), under the same name.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """One way of storing and computing an exported model.

    Attributes
    ----------
    name : str
        Name in recipes, cards, reports and file names.
    summary : str
        A few words for people.
    weight_bits : int
        Bits of one stored weight.
    activation_bits : int
        Bits of an activation as convolutions and matrix products take it.
    min_cosine : float
        Parity bound: least cosine similarity between the file's and the Keras model's embedding
        of the same crop.
    dashes : tuple of float
        Line of its curves: lengths of dashes and gaps in points; empty for a solid line.
    line : str
        The line in one word, for captions.
    suffix : str
        Ending of the file name, which stands for the file format.
    former_names : tuple of str
        Names that older cards have for it. They win over the name of another precision.
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

    def file_name(self, model: str) -> str:
        """Name of the file that holds `model` at this precision."""
        return f"{model}_{self.name}{self.suffix}"


_REGISTERED = (
    # Runtimes compute with float16 weights in float32 unless told otherwise.
    Precision("float32", "full precision", 32, 32, 0.9999, (), "solid"),
    Precision("float16", "16-bit weights", 16, 32, 0.9999, (4, 2), "dashed"),
    # Dynamic range: activations are quantised at run time, and only where kernels take integers.
    Precision("int8", "8-bit weights", 8, 8, 0.95, (1, 1.5), "dotted"),
)

PRECISIONS: dict[str, Precision] = {precision.name: precision for precision in _REGISTERED}
"""All precisions by name, the finest first."""

DEFAULT_PRECISIONS = ("float32", "float16")
"""What is exported unless a recipe or a command asks for something else."""

RELEASED_PRECISION = "float16"
"""Precision of the released files that an installation runs."""


def finest(names: Iterable[str]) -> str:
    """The finest of some precisions, at which models are compared.

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


def current_name(name: str) -> str:
    """Today's name of a precision in an older card; an unknown name is returned unchanged."""
    for precision in PRECISIONS.values():
        if name in precision.former_names:
            return precision.name
    return name
