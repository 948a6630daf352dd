"""Common check of all Keras layers of the project."""

import keras
import numpy as np


def check_layer(layer, inputs, output_shape, tmp_path, float16_output="float16"):
    """Check shapes, serialisation, saving and dtype under mixed_float16.

    Parameters
    ----------
    layer : keras.layers.Layer
        Layer that is not built yet.
    inputs : ndarray, float32
        A batch of inputs.
    output_shape : tuple of int
        Expected shape of the outputs.
    tmp_path : Path
        Folder for a saved model.
    float16_output : str
        Expected dtype of the outputs under mixed_float16.

    Returns
    -------
    ndarray
        Outputs in float32.
    """
    symbolic = keras.Input(inputs.shape[1:])
    model = keras.Model(symbolic, layer(symbolic))
    outputs = np.asarray(model(inputs))
    assert outputs.shape == tuple(output_shape)
    assert tuple(layer.compute_output_shape(inputs.shape)) == tuple(output_shape)
    assert model.output_shape == (None, *output_shape[1:])
    assert outputs.dtype == np.float32

    config = layer.get_config()
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(twin) is type(layer)
    assert twin.get_config() == config

    path = tmp_path / f"{layer.name}.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(inputs), outputs)

    half = type(layer).from_config({**config, "dtype": "mixed_float16"})
    half.build(inputs.shape)
    half.set_weights(layer.get_weights())
    half_outputs = half(inputs)
    assert keras.backend.standardize_dtype(half_outputs.dtype) == float16_output
    assert all(variable.dtype == "float32" for variable in half.variables)
    np.testing.assert_allclose(half_outputs, outputs, rtol=1e-2, atol=1e-2)
    return outputs
