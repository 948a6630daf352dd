"""Embedding models: a backbone, optional spatial attention, and the head."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import keras

from iris_tf.config.names import NAMED_WEIGHTS
from iris_tf.networks.batch_normalization import FusedBatchNormalization
from iris_tf.networks.head import POOLING_LAYERS, embedding_head
from iris_tf.networks.input_normalization import NORMALIZATION_LAYER, input_normalization
from iris_tf.networks.parameter_groups import ATTENTION_PREFIX
from iris_tf.networks.pretrained import IMAGENET, pretrained_backbone
from iris_tf.networks.public_checkpoints import load_public_checkpoint
from iris_tf.networks.registry import NetworkSpec, network_spec
from iris_tf.networks.seeding import layer_seed, seeded_config
from iris_tf.networks.spatial_attention import SpatialAttention
from iris_tf.networks.weights import SUFFIXES, load_matching_weights
from iris_tf.support.errors import ModelError
from iris_tf.tflite.released_models import PRETRAINED, weights_file


def build_embedding_model(
    name: str,
    input_size: tuple[int, int] = (224, 224),
    embedding_size: int = 128,
    weights: str = "none",
    attention: Sequence[str] = (),
    attention_kernel: int = 7,
    pooling: str = "average",
    batchnorm_momentum: float = 0.99,
    seed: int = 0,
    normalization: str = "imagenet",
    reduction: tuple[int, int] = (1, 2),
    channels: int = 1,
) -> keras.Model:
    """Build a network that maps crops to embeddings.

    Parameters
    ----------
    name : str
        A key of `registry.NETWORKS`, and the name of the model.
    input_size : tuple of int
        Height and width of the crop in pixels, at least 32 each.
    embedding_size : int
        D.
    weights : str
        "none" (random), "imagenet" (downloaded by Keras), "pretrained" (the released
        model, trained on synthetic eyes), the path of a ``.keras`` or ``.weights.h5``
        file of this project, from which all layers with the same name and shapes are
        loaded (see `weights.load_matching_weights`), or the path of a public checkpoint: an
        ``.h5`` file of keras.applications without top, or for the networks with a
        `NetworkSpec.checkpoint` an ``.h5`` or ``.npz`` file, head included (see
        `public_checkpoints`).
    attention : sequence of str
        Names of backbone layers that are each followed by a `SpatialAttention`. The
        usual ones are `registry.NETWORKS[name].attention`; empty for no attention.
    attention_kernel : int
        Kernel size of all spatial attention, odd.
    pooling : {"average", "depthwise", "placed", "gdconv"}
        See `head.embedding_head`.
    batchnorm_momentum : float
        Momentum of all batch normalisation, 0..1 exclusive. keras.applications uses
        0.999 in MobileNetV3, with which the moving statistics are still close to their
        initial values after a few hundred steps, and inference is no better than chance.
    seed : int
        Determines all random initial weights. Those of a layer depend only on the seed
        and the layer's name, so models with and without attention have the same initial
        backbone. Global seeds are neither used nor set.
    normalization : {"imagenet", "local_contrast"}
        `RoiNormalization`, or `StripNormalization` for unrolled strips.
    reduction : tuple of int
        Rows and columns that `StripNormalization` averages into one pixel.
    channels : {1, 3}
        Channels of the crops; `StripNormalization` takes only grey crops.

    Returns
    -------
    keras.Model
        Functional, without nested models. Input ``roi``, float32 (batch, height,
        width, channels) in 0..255; output float32 (batch, D) of unit length, also under
        mixed_float16. Attention layers are named ``spatial_attention_*``, layers of the
        head ``head_*``.

    Raises
    ------
    ModelError
        If a network, layer or pooling is unknown, a size is invalid, or weights are not
        available.
    """
    spec = network_spec(name)
    if normalization == "local_contrast" and channels != 1:
        raise ModelError(
            f"The crops have {channels} channels, but local_contrast takes grey strips; set "
            "`normalization: imagenet`, or prepare the images with `--channels 1`."
        )
    normalise = input_normalization(normalization, input_size, reduction)
    roi = keras.Input((*input_size, channels), name="roi", dtype="float32")
    normalised = normalise(roi)
    _check_size(spec, name, input_size, normalised.shape[1:3])
    _check_settings(embedding_size, attention_kernel, pooling)
    _check_weights(spec, name, weights, normalization)

    published = _is_published(weights)
    own_format = published and spec.checkpoint is None
    if own_format:
        base = pretrained_backbone(spec, normalised, weights)
    else:
        base = spec.build(normalised, None)

    backbone = _rebuild(base, roi, attention, attention_kernel, batchnorm_momentum, seed)
    if own_format:
        names = _stable_names(base)
        for layer in base.layers:
            if layer.weights:
                backbone.get_layer(names[layer.name]).set_weights(layer.get_weights())

    embedding = embedding_head(backbone.output, embedding_size, pooling, batchnorm_momentum, seed)
    model = keras.Model(roi, embedding, name=name)
    if published and not own_format:
        load_public_checkpoint(model, spec, weights)
    if weights == PRETRAINED:
        weights = str(weights_file(weights))
    if weights.endswith(SUFFIXES):
        load_matching_weights(model, weights)
    return model


def _rebuild(
    base: keras.Model,
    roi: Any,
    attention: Sequence[str],
    attention_kernel: int,
    batchnorm_momentum: float,
    seed: int,
) -> keras.Model:
    """Copy `base` with attention, stable layer names, seeded weights and the given momentum."""
    names = _stable_names(base)
    places = set(names.values()) - {"roi", NORMALIZATION_LAYER}
    for place in attention:
        if place not in places:
            near = difflib.get_close_matches(place, sorted(places), n=5, cutoff=0.0)
            raise ModelError(
                f"There is no layer {place!r} to insert attention after; choose a layer of the "
                f"network, such as {', '.join(near)}."
            )

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = {**layer.get_config(), "name": names[layer.name]}
        kind = type(layer)
        if issubclass(kind, keras.layers.BatchNormalization):
            config["momentum"] = batchnorm_momentum
            if kind is keras.layers.BatchNormalization:
                kind = FusedBatchNormalization
        return kind.from_config(seeded_config(config, seed))

    def call_layer(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if layer.name not in attention:
            return output
        layer_name = ATTENTION_PREFIX + layer.name
        kernel = keras.initializers.GlorotUniform(seed=layer_seed(seed, layer_name))
        return SpatialAttention(attention_kernel, kernel, name=layer_name)(output)

    return keras.models.clone_model(
        base,
        input_tensors=keras.tree.map_structure(lambda _: roi, base.input),
        clone_function=clone_layer,
        call_function=call_layer,
    )


def _stable_names(model: keras.Model) -> dict[str, str]:
    """Map layer names to names that do not depend on models built earlier in the process.

    Keras numbers unnamed layers (``re_lu_7``) across all models of a process; here
    they are numbered within the model.
    """
    counts: dict[str, int] = {}
    names = {}
    for layer in model.operations:  # layers, and bare additions and multiplications
        stem = re.sub(r"_\d+$", "", layer.name)
        if stem.replace("_", "") != type(layer).__name__.lower():
            names[layer.name] = layer.name
            continue
        number = counts.get(stem, 0)
        counts[stem] = number + 1
        names[layer.name] = f"{stem}_{number}" if number else stem
    return names


def _is_published(weights: str) -> bool:
    """Whether weights are published ones, e.g. of keras.applications, not of this project."""
    return weights == IMAGENET or (
        weights.endswith((".h5", ".npz")) and not weights.endswith(SUFFIXES)
    )


def _check_weights(spec: NetworkSpec, name: str, weights: str, normalization: str) -> None:
    if weights not in NAMED_WEIGHTS and not weights.endswith((".h5", ".npz", *SUFFIXES)):
        raise ModelError(
            f"weights is {weights!r}; choose `none`, `imagenet`, `pretrained`, or the path of a "
            ".keras, .weights.h5, .h5 or .npz file."
        )
    if not _is_published(weights):
        return
    if weights == IMAGENET and spec.checkpoint is not None:
        raise ModelError(
            f"weights is {weights!r}, but Keras has no such weights of {name}; give the path of a "
            "public checkpoint, or start from `none`."
        )
    if spec.pretrained_input is None:
        raise ModelError(
            f"weights is {weights!r}, but {name} has no published weights; start from `none` or "
            "from a model of this project."
        )
    if normalization != "imagenet":
        raise ModelError(
            f"weights is {weights!r}, of a network that was not trained on inputs with "
            f"{normalization.replace('_', ' ')}; start from `none` or from a model of this project."
        )


def _check_size(
    spec: NetworkSpec, name: str, input_size: tuple[int, int], seen: tuple[int, int]
) -> None:
    """Check the size of the backbone's input, `seen`, which is that after normalisation."""
    if min(seen) < spec.minimum_side:
        raise ModelError(
            f"input_size is {input_size[0]}x{input_size[1]}; {name} needs at least "
            f"{spec.minimum_side} pixels per side."
        )


def _check_settings(embedding_size: int, attention_kernel: int, pooling: str) -> None:
    if embedding_size < 1:
        raise ModelError(f"embedding_size is {embedding_size}; choose at least 1.")
    if attention_kernel < 1 or attention_kernel % 2 == 0:
        raise ModelError(f"attention_kernel is {attention_kernel}; choose an odd number.")
    if pooling not in POOLING_LAYERS:
        raise ModelError(f"pooling is {pooling!r}; choose one of {', '.join(POOLING_LAYERS)}.")
