"""A segmenter that knows the truth of the eyes it was told of, in this process."""

from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason

NAME = "truth"
KNOWN: dict[bytes, SegmentedEye] = {}


class TrueSegmenter:
    name, version = NAME, "1"

    def __call__(self, image):
        try:
            return KNOWN[image.tobytes()]
        except KeyError:
            raise ExtractionError(FailureReason.NO_PUPIL, "This eye was never seen.") from None
