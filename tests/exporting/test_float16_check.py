import keras
import numpy as np
import pytest

from iris_tf.exporting.float16_check import LARGEST_FLOAT16, check_float16, extreme_crops


def model_with(factor, norm="float32"):
    """Mean over a crop times a factor, as a vector of two entries."""
    roi = keras.Input((8, 8, 1), name="roi")
    x = keras.layers.GlobalAveragePooling2D(name="mean")(roi)
    x = keras.layers.Dense(
        2, name="scaled", kernel_initializer=keras.initializers.Constant(factor)
    )(x)
    return keras.Model(roi, keras.layers.UnitNormalization(name="norm", dtype=norm)(x))


def test_largest_activation_and_cosine_by_hand():
    white = np.full((3, 8, 8), 255, np.uint8)
    found = check_float16(model_with(4.0), white)
    assert (found.largest_layer, found.largest) == ("scaled", 255.0 * 4.0)
    # The norm squares 1020 twice, which overflows within the layer: the output is 0 instead of a
    # unit. The mean adds 64 places of 255.
    assert (found.largest_sum_layer, found.largest_sum) == ("norm", 2 * 1020.0**2)
    found_less = check_float16(model_with(0.25), white)
    assert (found_less.largest_sum_layer, found_less.largest_sum) == ("mean", 64 * 255.0)
    assert found.overflows == {} and found.min_cosine is None
    assert check_float16(model_with(0.25), white).overflows == {}
    assert check_float16(model_with(0.25), white).min_cosine == pytest.approx(1.0, abs=1e-3)


def test_overflow_is_found_at_its_layer():
    found = check_float16(model_with(300.0), np.full((2, 8, 8), 255, np.uint8))
    assert found.largest == 255.0 * 300.0 > LARGEST_FLOAT16
    assert next(iter(found.overflows)) == "scaled"
    assert found.overflows["scaled"] == 4
    assert found.min_cosine is None


def test_sums_within_convolutions_and_linear_layers_are_of_magnitudes():
    roi = keras.Input((1, 3, 1), name="roi")
    kernel = np.array([100.0, -200.0, 0.5]).reshape(1, 3, 1, 1)
    x = keras.layers.Conv2D(1, (1, 3), name="conv", activation="relu")(roi)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(2, name="dense", use_bias=False)(x)
    model = keras.Model(roi, keras.layers.UnitNormalization(name="norm", dtype="float32")(x))
    model.get_layer("conv").set_weights([kernel, np.array([-3.0])])
    model.get_layer("dense").set_weights([np.array([[0.1, -0.001]])])
    rois = np.array([[[200, 100, 2]], [[1, 1, 1]]], np.uint8)
    # 20000 - 20000 + 1 - 3 < 0, so nothing comes out, though halves of the sum are large.
    found = check_float16(model, rois)
    assert (found.largest_sum_layer, found.largest_sum) == ("conv", 20000.0 + 20000.0 + 1.0 + 3.0)


def test_sums_within_a_mean_are_of_magnitudes_and_of_each_channel():
    roi = keras.Input((4, 8, 1), name="roi")
    kernel = keras.initializers.Constant(np.array([[[[1.0, -2.0]]]]))
    x = keras.layers.Conv2D(2, 1, kernel_initializer=kernel, use_bias=False)(roi)
    model = keras.Model(roi, keras.layers.GlobalAveragePooling2D(name="mean")(x))
    rois = np.stack([np.full((4, 8), 1, np.uint8), np.arange(32, dtype=np.uint8).reshape(4, 8)])
    found = check_float16(model, rois)
    assert (found.largest_sum_layer, found.largest_sum) == ("mean", 2 * 31 * 32 / 2)
    without = keras.Model(roi, keras.layers.Flatten()(roi))
    assert check_float16(without, rois).largest_sum_layer == ""


def test_extreme_crops():
    crops = extreme_crops((8, 16))
    assert {crop.shape for crop in crops.values()} == {(8, 16, 1)}
    assert crops["spot"].sum() == 255 and crops["step"].mean() == 127.5
    assert set(np.unique(crops["saturated"])) == {0, 255}
    assert extreme_crops((8, 8), 3)["noise"].shape == (8, 8, 3)
