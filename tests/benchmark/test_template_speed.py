"""`iris-tf benchmark template`: the stages that are timed are those of a recogniser."""

import cv2
import pytest

from iris_tf.benchmark import template_speed
from iris_tf.benchmark.template_speed import measure_template, template_bytes
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import BenchmarkError, ExtractionError
from iris_tf.tflite.released_models import released_model


@pytest.fixture(scope="module")
def eye(small_images):
    return sorted(small_images.rglob("*.jpg"))[0]


def test_every_stage_is_timed(eye):
    threads = cv2.getNumThreads()
    stages = measure_template(eye, runs=5)
    assert list(stages) == ["read", "segment", "crop", "quality", "embed", "template"]
    for times in stages.values():
        assert 0 < times["min"] <= times["median"]
    assert cv2.getNumThreads() == threads


def test_figures_are_those_of_the_runs_after_the_first_ones(eye, monkeypatch):
    # A clock of which each run of six stages takes 1, 2, 3, ... milliseconds a stage.
    starts = (run * 10**6 * end for run in range(1, 8) for _ in range(6) for end in (0, 1))
    monkeypatch.setattr(template_speed.time, "process_time_ns", lambda: next(starts))
    stages = measure_template(eye, runs=5)
    assert all(times == {"min": 3.0, "median": 5.0} for times in stages.values())


def test_another_network_is_timed_against_the_default_one(eye, monkeypatch):
    # Of two recognisers in turn, stages of the first take 1 ms and of the second 4 ms.
    times = (10**6 * end * (1, 4)[which] for _ in range(7) for which in range(2)
             for _ in range(6) for end in (0, 1))  # fmt: skip
    monkeypatch.setattr(template_speed.time, "process_time_ns", lambda: next(times))
    int8 = released_model("iris-segmenter", "int8")
    stages = measure_template(eye, runs=5, segmenter_model=int8)
    assert all(figures == {"min": 1.0, "median": 1.0, "ratio": 0.25} for figures in stages.values())


def test_the_crop_that_is_embedded_is_the_recognisers(eye, monkeypatch):
    seen = []
    embed = template_speed.TFLiteEmbedder.embed

    def recorded(self, rois):
        rois = list(rois)
        seen.append(rois[0].copy())
        return embed(self, rois)

    monkeypatch.setattr(template_speed.TFLiteEmbedder, "embed", recorded)
    measure_template(eye, IrisRecognizer().model, runs=5)
    by_stage, whole = seen[:2]
    assert (by_stage == whole).all()


def test_sizes_are_those_of_files_in_both_forms(eye, tmp_path):
    size, in_float = template_bytes(eye)
    IrisRecognizer().enroll(eye).save(tmp_path / "template.npz")
    assert size == (tmp_path / "template.npz").stat().st_size <= 2253  # 2.2 KB
    # 112 + 4,096 numbers of four bytes, and who made them.
    assert 4 * 4208 < in_float < 4 * 4208 + 4096


def test_what_cannot_be_measured_is_said(tmp_path, eye):
    with pytest.raises(BenchmarkError, match="runs is 4; at least 5"):
        measure_template(eye, runs=4)
    with pytest.raises(ExtractionError):
        measure_template(tmp_path / "none.png", runs=5)
