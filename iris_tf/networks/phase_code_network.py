"""The phase code alone as an embedding model, without anything to train."""

import keras

from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.phase_code import phase_code_of
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.segmentation.roi_modes import STRIP_ANGLES, STRIP_RADII
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_REDUCTION = (2, 2)  # rows, columns: that of the released model, for which filters were chosen


def phase_code_network() -> tuple[keras.Model, PhaseCodeLayout]:
    """Build a model that maps unrolled strips to their phase codes.

    Returns
    -------
    model : keras.Model
        Maps strips (batch, 64, 512, 1) in 0..255, 0 where the iris is hidden, to phase codes
        (batch, 4096) of unit length; 0 where nothing is visible.
    layout : PhaseCodeLayout
        Of these codes.
    """
    roi = keras.Input((STRIP_RADII, STRIP_ANGLES, 1), name="roi", dtype="float32")
    layer = StripNormalization(*_REDUCTION, name=NORMALIZATION_LAYER)
    code, layout = phase_code_of(layer, layer(roi))
    unit = keras.layers.UnitNormalization(name="embedding", dtype="float32")(code)
    return keras.Model(roi, unit, name="phase_code"), layout
