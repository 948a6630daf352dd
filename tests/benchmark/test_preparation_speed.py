from pathlib import Path

import pytest

from iris_tf.benchmark import preparation_speed as preparation
from iris_tf.benchmark.preparation_speed import _figures, _Sample, measure_preparation
from iris_tf.support.errors import BenchmarkError, DatasetError


def samples(seconds_an_image, main, worker, total=1000):
    return [
        _Sample(100.0 + done * seconds_an_image, done, main(done), worker(done))
        for done in range(8, total + 1, 8)
    ]


def test_speed_and_slope_of_made_up_runs():
    # Memory jumps in the first fifth, and then grows by 2 and 3 MiB per 1,000 images.
    run = samples(
        0.05, lambda done: 80 + (done >= 200) * 20 + 0.002 * done, lambda done: 90 + 0.003 * done
    )
    figures = _figures(run, (110.0, 95.0), Path("eyes"), 1000)
    assert figures == {
        "images_per_s": pytest.approx(20.0),
        "main_peak_mib": 110.0,
        "worker_peak_mib": 95.0,
        "main_mib_per_1000_images": pytest.approx(2.0),
        "worker_mib_per_1000_images": pytest.approx(3.0),
    }


def test_what_the_system_does_not_say_is_none():
    figures = _figures(samples(0.1, lambda _: 0.0, lambda _: 0.0), (0.0, 0.0), Path("eyes"), 1000)
    assert figures.pop("images_per_s") == pytest.approx(10.0)
    assert set(figures.values()) == {None}


def test_a_real_folder(small_images, monkeypatch):
    monkeypatch.setattr(preparation, "_SECONDS_BETWEEN_SAMPLES", 0.02)
    monkeypatch.setattr(preparation.joblib, "effective_n_jobs", lambda _: 2)
    result = measure_preparation(small_images)
    assert result["images"] == 96
    one, two = result["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert result["ratio"] == pytest.approx(two["images_per_s"] / one["images_per_s"])
    assert one["images_per_s"] > 0
    if Path("/proc/self/task").is_dir():
        assert one["worker_peak_mib"] is None
        for size in (one["main_peak_mib"], two["main_peak_mib"], two["worker_peak_mib"]):
            assert 20 < size < 600


def test_a_folder_that_is_too_small_and_one_that_cannot_be_prepared(tmp_path, small_images):
    with pytest.raises(DatasetError, match="no such folder"):
        measure_preparation(tmp_path / "none")
    with pytest.raises(DatasetError, match="magic"):
        measure_preparation(small_images, "magic")
    for person in "abc":
        (tmp_path / person).mkdir()
        (tmp_path / person / "x.png").write_bytes(person.encode())
    with pytest.raises(BenchmarkError, match=r"Preparing .* failed: .*3 unreadable"):
        measure_preparation(tmp_path, layout="folder")
    with pytest.raises(BenchmarkError, match="too quickly to be measured; give a folder of more"):
        _figures(samples(0.1, lambda _: 1.0, lambda _: 1.0, 56), (1.0, 1.0), tmp_path, 56)
