"""Input normalisation: the first layer of every embedding model, from crop to backbone input."""

from collections.abc import Callable

import keras

from iris_tf.networks.roi_normalization import RoiNormalization
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.support.errors import ModelError

NORMALIZATION_LAYER = "roi_normalization"
"""Name of the layer in every model, for all normalisations."""

_LAYERS: dict[str, Callable[[tuple[int, int]], keras.layers.Layer]] = {
    "imagenet": lambda reduction: RoiNormalization(name=NORMALIZATION_LAYER),
    "local_contrast": lambda reduction: StripNormalization(*reduction, name=NORMALIZATION_LAYER),
}


def input_normalization(
    name: str, input_size: tuple[int, int], reduction: tuple[int, int]
) -> keras.layers.Layer:
    """Create the layer that normalises crops.

    Parameters
    ----------
    name : str
        One of `iris_tf.config.names.NORMALIZATIONS`.
    input_size : tuple of int
        Height and width of the crop in pixels.
    reduction : tuple of int
        Rows and columns that "local_contrast" averages into one.

    Raises
    ------
    ModelError
        If the name is unknown, or the layer cannot normalise crops of this size.
    """
    if name not in _LAYERS:
        raise ModelError(f"normalization is {name!r}; choose one of {', '.join(_LAYERS)}.")
    layer = _LAYERS[name](reduction)
    if isinstance(layer, StripNormalization):
        _check_strip(layer, input_size)
    return layer


def _check_strip(layer: StripNormalization, input_size: tuple[int, int]) -> None:
    height, width = input_size
    if height % layer.rows or width % layer.columns:
        raise ModelError(
            f"reduction is {layer.rows}x{layer.columns}, which does not divide the input of "
            f"{height}x{width}."
        )
    # The strip is padded circularly by this margin before windows are evaluated.
    if width // layer.columns < layer.margin:
        raise ModelError(
            f"input_size is {height}x{width}; local_contrast needs at least "
            f"{layer.margin * layer.columns} columns at a reduction of "
            f"{layer.rows}x{layer.columns}."
        )
