import hashlib

import numpy as np
import pytest
from prepared_eyes import drawn_eye

# One pixel of the crop each; see `pixel_embedding`.
HEIGHT, WIDTH = 8, 16


def pixel_embedding(roi):
    """What the fixture `pixel_model` computes of a crop, without it."""
    from iris_tf.datasets.images import resize_roi

    values = resize_roi(roi, (HEIGHT, WIDTH)).astype(np.float64).ravel()
    values -= values.mean()
    return values / np.sqrt((values**2).sum())


@pytest.fixture(scope="session")
def embedding_of():
    """The embedding of an eye image or crop by `pixel_model`, worked out with NumPy."""
    from iris_tf.datasets.images import read_image
    from iris_tf.segmentation.roi import unrolled
    from iris_tf.segmentation.segmenter import segmenter_by_name

    segment = segmenter_by_name("opencv")

    def embedding_of(image):
        if not isinstance(image, np.ndarray):
            image = read_image(image).pixels
        return pixel_embedding(unrolled(image, segment(image)))

    return embedding_of


def _save(function, folder, name):
    """A .tflite file with its card, which is read by the embedder's rules."""
    import tensorflow as tf

    from iris_tf.inference.model_card import ModelCard, ModelFile

    module = tf.Module()
    signature = [tf.TensorSpec((1, HEIGHT, WIDTH, 1), tf.float32, name="roi")]
    module.call = tf.function(function, input_signature=signature, autograph=False)
    concrete = module.call.get_concrete_function()
    data = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
    path = folder / f"{name}_float16.tflite"
    path.write_bytes(data)
    ModelCard(
        name=name,
        network="none",
        roi_mode="unrolled",
        segmenter="opencv",
        input_size=(HEIGHT, WIDTH),
        embedding_size=HEIGHT * WIDTH,
        thresholds={"eer": 0.5, "far_1e-2": 0.8, "far_1e-3": 0.95},
        thresholds_from={},
        files={path.name: ModelFile("float16", hashlib.sha256(data).hexdigest(), len(data))},
        training_data="none",
    ).write(folder / "model_card.json")
    return path


@pytest.fixture(scope="session")
def pixel_model(tmp_path_factory):
    """A model whose embedding is the crop's pixels, without mean and of length 1."""
    import tensorflow as tf

    def embed(roi):
        x = tf.reshape(roi, (1, -1))
        x = x - tf.reduce_mean(x)
        return {"embedding": x / tf.norm(x)}

    return _save(embed, tmp_path_factory.mktemp("pixels"), "pixels")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory):
    """Another model of the same sizes."""
    import tensorflow as tf

    def embed(roi):
        x = tf.reshape(roi, (1, -1)) + 1.0
        return {"embedding": x / tf.norm(x)}

    return _save(embed, tmp_path_factory.mktemp("other"), "other")


@pytest.fixture
def recognizer(pixel_model):
    from iris_tf import IrisRecognizer

    return IrisRecognizer(pixel_model)


@pytest.fixture(scope="session")
def noisy_eye():
    """Images of the same eye with other camera noise: `noisy_eye(eye, image)`."""

    def noisy_eye(eye, image):
        pixels = drawn_eye(eye)[0].astype(np.float64)
        noise = np.random.default_rng((eye, image)).normal(0, 3, pixels.shape)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)

    return noisy_eye
