import pytest


@pytest.fixture(scope="session")
def small_tflite(tmp_path_factory):
    """A small model of the project's signature."""
    import keras
    import numpy as np

    from iris_tf.export.tflite import export_model

    keras.utils.set_random_seed(1)
    roi = keras.Input((16, 24, 1), name="roi")
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(roi))
    x = keras.layers.Dense(8)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(roi, keras.layers.UnitNormalization()(x))
    rois = np.full((1, 16, 24), 100, np.uint8)
    folder = tmp_path_factory.mktemp("models")
    [file] = export_model(model, folder, "small", ["float32"], parity_rois=rois)
    return file
