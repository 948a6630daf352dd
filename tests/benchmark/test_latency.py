import json
import subprocess
import sys

import pytest

from iris_tf.benchmark.latency import measure_latency
from iris_tf.benchmark.schema import validate_result
from iris_tf.support.errors import BenchmarkError, ModelError


def test_a_measurement_follows_the_schema(small_tflite, capfd):
    result = measure_latency(small_tflite.path, threads=(1, 2), runs=60, warmup=3)
    assert capfd.readouterr() == ("", "")  # LiteRT's log stays off the terminal
    validate_result(json.loads(json.dumps(result, allow_nan=False)))
    assert [row["threads"] for row in result["rows"]] == [1, 2]
    for row in result["rows"]:
        assert row["model"] == {
            "file": "small_float32.tflite",
            "sha256": small_tflite.sha256,
            "bytes": small_tflite.bytes,
        }
        assert row["backend"] == "cpu-xnnpack"
        assert row["inference"]["count"] == 60
        assert row["warmup"]["count"] == 3
        assert row["init"]["count"] == row["first"]["count"] == 5
        assert row["inference"]["min"] > 0


def test_warmup_may_be_left_out(small_tflite):
    result = measure_latency(small_tflite.path, threads=[1], runs=50, warmup=0)
    assert result["rows"][0]["warmup"] is None
    validate_result(result)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 49}, "runs is 49; at least 50"),
        ({"warmup": -1}, "warmup is -1"),
        ({"threads": []}, r"threads is \[\]"),
        ({"threads": [1, 0]}, r"threads is \[1, 0\]"),
    ],
)
def test_impossible_settings_are_named(small_tflite, settings, message):
    with pytest.raises(BenchmarkError, match=message):
        measure_latency(small_tflite.path, **settings)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such"):
        measure_latency(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(ModelError, match=r"text\.tflite"):
        measure_latency(tmp_path / "text.tflite")


def test_tensorflow_is_not_imported():
    code = (
        "import sys, iris_tf.benchmark.latency, iris_tf.tflite.operators;"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
