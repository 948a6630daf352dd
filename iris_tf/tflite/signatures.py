"""The signatures of the project's ``.tflite`` files, each described once."""

from dataclasses import dataclass

from iris_tf.config.names import CHANNELS

MAIN = "serving_default"
"""Name of a file's signature, or of the first of several."""


@dataclass(frozen=True)
class Signature:
    """One signature: an image, float32 (1, height, width, channels) in 0..255, to one array.

    Attributes
    ----------
    name : str
        Name of the signature.
    input, output : str
        Names of the two tensors.
    rank : int
        Number of axes of the output, the first of which is 1.
    maker : str
        Command that writes such files, for messages.
    channels : tuple of int
        How many channels the image may have.
    """

    name: str
    input: str
    output: str
    rank: int
    maker: str
    channels: tuple[int, ...] = (1,)

    def __str__(self) -> str:
        return f"{self.name}({self.input}) -> {self.output}"


EMBEDDING = Signature(
    MAIN, "roi", "embedding", rank=2, maker="iris-tf export RUN", channels=CHANNELS
)
"""From a crop to its embedding, (1, D)."""

_SEGMENTER = "pipelines/iris_segmenter.py"

MASKS = Signature(MAIN, "image", "masks", rank=4, maker=_SEGMENTER)
"""From an eye close up to its masks, (1, height, width, channels)."""

# Converters write signatures in the order of their names, and other programs take the first one.
MASKS_OF_WHOLE = Signature("whole", "image", "masks", rank=4, maker=_SEGMENTER)
"""The same network at the size at which it sees whole images."""
