import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.signatures import EMBEDDING

CALLS, THREADS = 400, 8


@pytest.fixture(scope="module")
def distances(tmp_path_factory):
    """A model that returns a crop's differences to a ramp, slow enough that calls overlap."""
    import tensorflow as tf

    side = 96
    ramp = tf.reshape(tf.linspace(0.0, 255.0, side * side), (1, side, side, 1))
    # A convolution that changes nothing, so that there is a buffer to be written over.
    kernel = np.zeros((9, 9, 1, 1), np.float32)
    kernel[4, 4] = 1.0
    module = tf.Module()
    module.constants = [ramp, kernel]
    module.call = tf.function(
        lambda roi: {"embedding": tf.reshape(tf.nn.conv2d(roi, kernel, 1, "SAME") - ramp, (1, -1))},
        input_signature=[tf.TensorSpec((1, side, side, 1), tf.float32, name="roi")],
        autograph=False,
    )
    concrete = module.call.get_concrete_function()
    path = tmp_path_factory.mktemp("threads") / "distances.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert())
    return path, np.asarray(ramp)[0, :, :, 0]


def test_calls_of_several_threads_do_not_mix(distances):
    path, ramp = distances
    model = LiteRTModel(path, EMBEDDING)
    levels = np.random.default_rng(3).integers(0, 256, CALLS).astype(np.uint8)

    def largest_error(level):
        found = model(np.full(ramp.shape, level, np.uint8))
        return np.abs(found - (float(level) - ramp).ravel()).max()

    with ThreadPoolExecutor(THREADS) as pool:
        errors = list(pool.map(largest_error, levels))
    assert max(errors) < 1e-3


def test_no_more_interpreters_than_cores(distances, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    path, ramp = distances
    model = LiteRTModel(path, EMBEDDING)
    made = []
    new = model._interpreters._new
    monkeypatch.setattr(model._interpreters, "_new", lambda: made.append(1) or new())
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(model, [np.zeros(ramp.shape, np.uint8)] * CALLS))
    assert len(made) <= 1  # the first was made with the model
