"""Backbones with published ImageNet weights, adapted to our input normalisation."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from iris_tf.networks.keras_files import open_hdf5
from iris_tf.networks.registry import NetworkSpec, PretrainedInput
from iris_tf.networks.roi_normalization import IMAGENET_MEAN, IMAGENET_STD
from iris_tf.support.errors import ModelError, first_line

IMAGENET = "imagenet"


def pretrained_backbone(spec: NetworkSpec, input_tensor: Any, weights: str) -> keras.Model:
    """Build a backbone with ImageNet weights.

    Parameters
    ----------
    spec : NetworkSpec
        Network with a `pretrained_input`.
    input_tensor : KerasTensor of shape (batch, height, width, 3)
        Output of `RoiNormalization`.
    weights : str
        "imagenet", which Keras downloads, or the path of such weights without top
        (``.h5``).

    Returns
    -------
    keras.Model
        Backbone with its first layers adapted by `fold_input_normalization`.

    Raises
    ------
    ModelError
        If the weights cannot be downloaded or read, or do not fit the network.
    """
    if weights != IMAGENET and not Path(weights).is_file():
        raise ModelError(f"There is no weights file {weights}.")
    if weights != IMAGENET:
        try:
            with open_hdf5(Path(weights)):
                pass  # Keras reads it, unchecked
        except (OSError, ValueError) as error:
            raise ModelError(f"The weights file {weights} cannot be used: {error}.") from None
    try:
        backbone = spec.build(input_tensor, weights)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if weights == IMAGENET:
            raise ModelError(
                "The ImageNet weights could not be downloaded: go online once (Keras keeps "
                "them), or set `weights` to `none` or to the path of a weights file."
            ) from error
        raise ModelError(
            f"The weights file {weights} does not fit this network's keras.applications "
            f"backbone without top: {first_line(error)}"
        ) from error
    assert spec.pretrained_input is not None
    fold_input_normalization(backbone, spec.pretrained_input)
    return backbone


def fold_input_normalization(backbone: keras.Model, trained_with: PretrainedInput) -> None:
    """Adapt a backbone to our input normalisation, instead of the one it was trained with.

    The networks of keras.applications expect different normalisations; the inputs of
    ResNet-50 are about 58 times as large as ours. Let u = (x - m) / s be the expected
    input and z = (x - mean) / std ours. Then ``u = z * std / s + (mean - m) / s`` per
    channel: the factor is folded into the first kernel, the constant into the first
    bias or the moving mean of the subsequent normalisation. The outputs are unchanged,
    except that the constant does not apply to zero padding at the image border.

    Parameters
    ----------
    backbone : keras.Model
        Modified in place. Its first convolution takes three channels.
    trained_with : PretrainedInput
        Input normalisation of the pretrained weights.
    """
    convolution = _first(backbone, keras.layers.Conv2D)
    order = list(trained_with.channels)
    kernel = convolution.kernel.numpy()[:, :, order]  # red, green, blue
    std = np.asarray(trained_with.std)
    factor = np.asarray(IMAGENET_STD) / std
    constant = (np.asarray(IMAGENET_MEAN) - np.asarray(trained_with.mean)) / std
    convolution.kernel.assign(kernel * factor[:, np.newaxis])

    shift = np.einsum("hwco,c->o", kernel, constant)
    if convolution.use_bias:
        convolution.bias.assign_add(shift)
    else:
        _first(backbone, keras.layers.BatchNormalization).moving_mean.assign_sub(shift)


def _first(model: keras.Model, kind: type) -> Any:
    return next(layer for layer in model.layers if isinstance(layer, kind))
