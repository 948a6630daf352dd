"""Time from an eye image to its embedding, stage by stage, on one thread."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from iris_tf.config.names import IMAGE_ROI_MODES
from iris_tf.imaging.images import read_eye, to_grey
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.segmentation.quality import iris_quality
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import BenchmarkError
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

MIN_RUNS = 5
_WARM_UP = 2


def measure_template(
    image: str | Path, model: str | Path | None = None, runs: int = 50
) -> dict[str, dict[str, float]]:
    """Time each stage from an eye image to its embedding.

    Times are processor time of this process, which other programs on a busy machine disturb less
    than elapsed time. OpenCV and LiteRT use one thread.

    Parameters
    ----------
    image : str or Path
        An eye image that the model's segmenter can segment.
    model : str or Path, optional
        A ``.tflite`` file with its card, of iris crops; by default the released model.
    runs : int, optional
        Timed repetitions, at least 5.

    Returns
    -------
    dict of str to dict of str to float
        ``min`` and ``median`` milliseconds by stage: ``read`` (decoding the file), ``segment``
        (outlines and masks), ``crop``, ``quality``, ``embed`` (the network with the phase code in
        its graph), and ``template`` (`IrisRecognizer.embed` of the decoded image: all stages but
        the first).

    Raises
    ------
    BenchmarkError
        If `runs` is too small, or the model takes images without a segmenter.
    ExtractionError
        If the image cannot be used.
    ModelError
        If the model cannot be used.
    """
    if runs < MIN_RUNS:
        raise BenchmarkError(f"runs is {runs}; at least {MIN_RUNS} are needed.")
    recognizer = IrisRecognizer(model)
    card = recognizer.card
    if card.roi_mode in IMAGE_ROI_MODES:
        raise BenchmarkError(
            f"{recognizer.model}: takes crops of the ROI mode {card.roi_mode}, which has no "
            "stages; measure it with `iris-tf benchmark latency`."
        )
    segment, embedder = segmenter_by_name(card.segmenter), TFLiteEmbedder(recognizer.model)
    times: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.process_time_ns()
        result = work(*arguments)
        times.setdefault(stage, []).append((time.process_time_ns() - start) / 1e6)
        return result

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for _ in range(_WARM_UP + runs):
            pixels = timed("read", read_eye, image, card.channels).pixels
            grey = to_grey(pixels)
            eye = timed("segment", segment, grey)
            roi = timed("crop", crop_roi, pixels, eye, card.roi_mode)
            timed("quality", iris_quality, grey, eye)
            timed("embed", embedder.embed, [roi])
            timed("template", recognizer.embed, pixels, "eye")
    finally:
        cv2.setNumThreads(threads)
    return {
        stage: {"min": min(laps[_WARM_UP:]), "median": statistics.median(laps[_WARM_UP:])}
        for stage, laps in times.items()
    }
