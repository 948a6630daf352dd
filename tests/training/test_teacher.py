import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.errors import ModelError
from iris_tf.training.teacher import Teacher


def mean_teacher(height, width, channels=1):
    """Answers with the means of the left and the right half of what it is shown."""
    roi = keras.Input((height, width, channels))
    halves = [roi[:, :, : width // 2], roi[:, :, width // 2 :]]
    means = [keras.ops.mean(half, axis=(1, 2)) for half in halves]
    return Teacher(keras.Model(roi, keras.ops.concatenate(means, axis=1)))


def crops(height, width):
    """Dark on the left, bright on the right."""
    image = np.zeros((2, height, width, 1), np.float32)
    image[:, :, width // 2 :] = [[[[200.0]]], [[[100.0]]]]
    return tf.constant(image)


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (4, 6)])
def test_crops_are_resized_to_what_the_teacher_takes(size):
    teacher = mean_teacher(8, 12)
    assert (teacher.input_size, teacher.embedding_size) == ((8, 12), 2)
    found = teacher(crops(*size)).embedding
    assert found.shape == (2, 2)
    # Interpolation blurs the edge alone.
    np.testing.assert_allclose(found, [[0, 200], [0, 100]], atol=25)
    assert found.dtype == tf.float32


@pytest.mark.parametrize("size", [(5, 7), (8, 12), (19, 30)])
def test_resizing_is_bilinear_with_antialiasing(size):
    roi = keras.Input((*size, 1))
    teacher = Teacher(keras.Model(roi, keras.layers.Flatten()(roi)))
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 12, 1)).astype(np.float32)
    expected = tf.image.resize(images, size, antialias=True)
    np.testing.assert_allclose(
        teacher(tf.constant(images)).embedding, np.reshape(expected, (2, -1)), atol=1e-2
    )


def test_grey_crops_are_shown_as_colour_where_the_teacher_takes_colour():
    found = mean_teacher(8, 12, 3)(crops(8, 12)).embedding
    np.testing.assert_allclose(found, [[0] * 3 + [200] * 3, [0] * 3 + [100] * 3], atol=1e-4)


def test_colour_crops_are_shown_as_grey_where_the_teacher_takes_grey():
    colour = np.zeros((2, 8, 12, 3), np.float32)
    colour[:, :, 6:] = [[[[200.0, 100.0, 50.0]]], [[[0.0, 0.0, 100.0]]]]
    found = mean_teacher(8, 12)(tf.constant(colour)).embedding
    # 0.299 R + 0.587 G + 0.114 B.
    np.testing.assert_allclose(found, [[0, 124.2], [0, 11.4]], atol=1e-3)


@pytest.mark.parametrize("size", [(8, 12), (16, 24)])
def test_a_compiled_step_can_ask(size):
    teacher, images = mean_teacher(8, 12), crops(*size)
    compiled = tf.function(lambda x: teacher(x).embedding, jit_compile=True)
    np.testing.assert_allclose(compiled(images), teacher(images).embedding, atol=1e-3)


def test_a_teacher_is_frozen(tiny):
    teacher = Teacher(build_embedding_model(tiny, (32, 32), 8))
    assert teacher.model.trainable_variables == []


def test_strips_are_not_resized_for_a_teacher_that_computes_local_contrast():
    model = build_embedding_model(
        "mobilenet_v3_large", (64, 512), 8, normalization="local_contrast", reduction=(2, 2)
    )
    teacher = Teacher(model)
    teacher.check_input((64, 512))
    with pytest.raises(ModelError, match=r"\(64, 512\) unresized, .* are \(32, 256\)"):
        teacher.check_input((32, 256))


def test_models_that_cannot_teach_are_refused_with_their_file(tmp_path):
    roi = keras.Input((8, 8, 1))
    x = keras.layers.Dense(4, name="dense")(keras.layers.Flatten()(roi))
    keras.Model(roi, x).save(tmp_path / "long.keras")
    with pytest.raises(ModelError, match=r"long\.keras: .* not of unit length.*UnitNorm"):
        Teacher.load(tmp_path / "long.keras")
    unit = keras.Model(roi, keras.layers.UnitNormalization()(x), name="foreign")
    unit.save(tmp_path / "unit.keras")
    assert Teacher.load(tmp_path / "unit.keras").embedding_size == 4
    with pytest.raises(ModelError, match=r"unit\.keras: .*'foreign' is none of mobilenet_v3_large"):
        Teacher.load(tmp_path / "unit.keras", ["stride8"])
