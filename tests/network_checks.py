"""Common checks of all backbones of the registry, as three calls."""

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.precision import PRECISIONS
from iris_tf.exporting.export_tflite import export_model
from iris_tf.exporting.static_quantization import Quantization
from iris_tf.networks.channel_scaling import LINEAR_LAYERS
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.feature_maps import with_feature_maps
from iris_tf.networks.parameter_groups import backbone_stages, parameter_groups
from iris_tf.networks.registry import NETWORKS
from iris_tf.quantization.calibration import LEAST_CROPS
from iris_tf.tflite.operators import foreign_operators

SIZE = (64, 96)
LARGE = (96, 128)

# Positions that feature maps lose at their borders, in a network whose convolutions do not pad.
UNPADDED = {"inception_resnet_v1": 4}


def build(name, seed=1, **settings):
    """Build the network with all optional components, at 64 x 96 pixels or, if need be, more."""
    settings = {"attention": NETWORKS[name].attention, "pooling": "depthwise"} | settings
    size = SIZE if NETWORKS[name].minimum_side <= min(SIZE) else LARGE
    return build_embedding_model(name, size, embedding_size=16, seed=seed, **settings)


def crops(model, n=4):
    """Noise crops of the model's size, (n, height, width), uint8."""
    size = model.input_shape[1:3]
    return np.random.default_rng(0).integers(0, 256, (n, *size), dtype=np.uint8)


def check_shapes_and_gradients(model):
    """Check unit length, sizes of feature maps, stages, and gradients of all variables."""
    x = crops(model)[..., None].astype(np.float32)
    features = NETWORKS[model.name].features
    outputs = with_feature_maps(model, list(features))(x)
    np.testing.assert_allclose(np.linalg.norm(outputs["embedding"], axis=1), 1.0, atol=1e-5)
    for feature in features:
        stride = int(feature.removeprefix("stride"))
        lost = np.array(x.shape[1:3]) // stride - outputs[feature].shape[1:3]
        assert 0 <= lost.min() <= lost.max() <= UNPADDED.get(model.name, 0), feature

    groups = parameter_groups(model)
    assert list(groups) == ["backbone", "attention", "head"]
    staged = {variable.path for stage in backbone_stages(model) for layer in stage
              for variable in layer.trainable_variables}  # fmt: skip
    assert staged == {variable.path for variable in groups["backbone"]}
    assert all(backbone_stages(model)), "a stage without layers"

    target = np.random.default_rng(1).normal(size=(len(x), 16)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, training=True) * target)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), variable.path


def check_saving(model, tmp_path):
    """Check saving and loading of the model, and loading of its weights into another model."""
    x, path = crops(model)[..., None].astype(np.float32), tmp_path / f"{model.name}.keras"
    model.save(path)
    loaded = keras.models.load_model(path, compile=False)
    assert loaded.name == model.name
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    other = build(model.name, seed=2, weights=str(path))
    np.testing.assert_allclose(other(x), model(x), atol=1e-6)


def check_export(model, tmp_path):
    """Check exported files against Keras, and that they only use built-in operations.

    Must be the last check: it changes the moving statistics of batch normalisation.
    """
    # Statistics of some data: with the initial ones, features of deep networks fade to nothing.
    for _ in range(3):
        model(crops(model, 8)[..., None].astype(np.float32), training=True)
    files = export_model(
        model, tmp_path, model.name, ["float32", "float16"], parity_rois=crops(model)
    )
    for file in files:
        assert file.parity_min_cosine >= PRECISIONS[file.precision].min_cosine
        assert foreign_operators(file.path) == []
    assert files[1].bytes < 0.52 * files[0].bytes


def check_integers(model, tmp_path):
    """Check the file in int8, after `check_export`."""
    [file] = export_model(
        model,
        tmp_path,
        model.name,
        ["int8"],
        parity_rois=crops(model),
        quantization=Quantization(crops(model, LEAST_CROPS), report=True),
    )
    assert file.parity_min_cosine >= PRECISIONS["int8"].min_cosine
    assert foreign_operators(file.path) == []
    kept = {layer.layer for layer in file.layers if layer.float_operations}
    allowed = "roi_normalization", "spatial_attention_", "head_unit_norm"
    assert [name for name in kept if not name.startswith(allowed)] == []
    # A byte for each weight; for each channel a bias of four bytes, and for both a scale of four
    # and a zero point of eight; and the graph.
    channels = sum(
        layer.output.shape[-1] for layer in model.layers if isinstance(layer, LINEAR_LAYERS)
    )
    assert file.bytes < model.count_params() + 28 * channels + 1500 * len(model.layers)
