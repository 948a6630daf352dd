"""Time from an eye image to its embedding, stage by stage, on one thread."""

import dataclasses
import operator
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
from iris_tf.support.temporary_names import temporary_folder
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

MIN_RUNS = 5
_WARM_UP = 2


def measure_template(
    image: str | Path,
    model: str | Path | None = None,
    runs: int = 50,
    segmenter_model: str | Path | None = None,
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
    segmenter_model : str or Path, optional
        File with the segmenter's network. The default one is then timed, too, in alternating runs.

    Returns
    -------
    dict of str to dict of str to float
        ``min`` and ``median`` milliseconds by stage: ``read`` (decoding the file), ``segment``
        (outlines and masks), ``crop``, ``quality``, ``embed`` (the network with the phase code in
        its graph), and ``template`` (`IrisRecognizer.embed` of the decoded image: all stages but
        the first). With `segmenter_model` also ``ratio``, the median over runs of the time over
        that with the default network.

    Raises
    ------
    BenchmarkError
        If `runs` is too small, or the model takes images without a segmenter.
    ExtractionError
        If the image cannot be used.
    ModelError
        If the model or the segmenter's network cannot be used.
    """
    if runs < MIN_RUNS:
        raise BenchmarkError(f"runs is {runs}; at least {MIN_RUNS} are needed.")
    measured = [_Stages(model, segmenter_model)]
    if segmenter_model is not None:
        measured.append(_Stages(model, None))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for _ in range(_WARM_UP + runs):
            for stages in measured:
                stages.run(image)
    finally:
        cv2.setNumThreads(threads)
    laps, *others = (
        {stage: times[_WARM_UP:] for stage, times in stages.times.items()} for stages in measured
    )
    figures = {
        stage: {"min": min(times), "median": statistics.median(times)}
        for stage, times in laps.items()
    }
    for default in others:
        for stage, times in laps.items():
            ratios = map(operator.truediv, times, default[stage])
            figures[stage]["ratio"] = statistics.median(ratios)
    return figures


def template_bytes(image: str | Path, model: str | Path | None = None) -> tuple[int, int]:
    """Bytes of an eye's template file, and of one in float32 as version 0.1.0 wrote all.

    Parameters
    ----------
    image, model
        See `measure_template`.

    Raises
    ------
    ExtractionError
        If the image cannot be used.
    ModelError
        If the model cannot be used.
    """
    template = IrisRecognizer(model).enroll(image, kind="eye")
    with temporary_folder() as folder:
        sizes = []
        for form in (template, dataclasses.replace(template, layout=None)):
            form.save(folder / "template.npz")
            sizes.append((folder / "template.npz").stat().st_size)
    return sizes[0], sizes[1]


class _Stages:
    """The stages from an eye image to its embedding, and their times in milliseconds."""

    def __init__(self, model: str | Path | None, segmenter_model: str | Path | None):
        self._recognizer = IrisRecognizer(model, segmenter_model=segmenter_model)
        self._card = self._recognizer.card
        if self._card.roi_mode in IMAGE_ROI_MODES:
            raise BenchmarkError(
                f"{self._recognizer.model}: takes crops of the ROI mode {self._card.roi_mode}, "
                "which has no stages; measure it with `iris-tf benchmark latency`."
            )
        self._segment = segmenter_by_name(self._card.segmenter, segmenter_model)
        self._embedder = TFLiteEmbedder(self._recognizer.model)
        self.times: dict[str, list[float]] = {}

    def run(self, image: str | Path) -> None:
        """Time all stages once."""
        pixels = self._timed("read", read_eye, image, self._card.channels).pixels
        grey = to_grey(pixels)
        eye = self._timed("segment", self._segment, grey)
        roi = self._timed("crop", crop_roi, pixels, eye, self._card.roi_mode)
        self._timed("quality", iris_quality, grey, eye)
        self._timed("embed", self._embedder.embed, [roi])
        self._timed("template", self._recognizer.embed, pixels, "eye")

    def _timed(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.process_time_ns()
        result = work(*arguments)
        self.times.setdefault(stage, []).append((time.process_time_ns() - start) / 1e6)
        return result
