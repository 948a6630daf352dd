import copy
import json
import math

import numpy as np
import pytest

from iris_tf.benchmark.schema import STATISTICS, statistics, validate_result
from iris_tf.support.errors import BenchmarkError


def naive_percentile(samples, percent):
    """The module's definition, word by word."""
    x = sorted(samples)
    position = (len(x) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(x) - 1)
    return x[below] + (position - below) * (x[above] - x[below])


def result():
    return {
        "schema": "iris_tf.latency",
        "schema_version": 1,
        "created": "2026-01-31T12:00:00Z",
        "created_by": "iris_tf 0.1.0",
        "runtime": "ai-edge-litert 2.3.0",
        "machine": {"cpu": "Some CPU", "cores": 8, "os": "Some system 1", "battery": 0.5},
        "rows": [
            {
                "model": {
                    "file": "m_float16.tflite",
                    "sha256": "0123456789abcdef" * 4,
                    "bytes": 10,
                },
                "backend_requested": "gpu",
                "backend": "cpu-xnnpack",
                "threads": 2,
                "init": statistics([20.0, 18.0]),
                "first": statistics([9.0, 8.0]),
                "warmup": None,
                "inference": statistics([4.0, 1.0, 3.0, 2.0]),
            }
        ],
    }


def test_statistics_by_hand():
    # Positions (n - 1) p / 100: 1.5, 0.15, 2.7, 2.85, 2.97; variance (1.5^2 + 0.5^2) / 2.
    found = statistics([4.0, 1.0, 3.0, 2.0])
    assert found.pop("samples") == [4.0, 1.0, 3.0, 2.0]
    assert found.pop("count") == 4
    assert found == pytest.approx(
        {
            "avg": 2.5,
            "min": 1,
            "max": 4,
            "stddev": 1.25**0.5,
            "median": 2.5,
            "p5": 1.15,
            "p90": 3.7,
            "p95": 3.85,
            "p99": 3.97,
        }
    )


def test_statistics_of_one_sample():
    found = statistics([7.0])
    assert {found[name] for name in STATISTICS} == {7.0, 0.0}  # the deviation is 0


@pytest.mark.parametrize("count", [2, 50, 101])
def test_statistics_equal_numpy_and_the_definition(count):
    samples = np.random.default_rng(count).gamma(2.0, 3.0, count).tolist()
    found = statistics(samples)
    for name, percent in [("median", 50), ("p5", 5), ("p90", 90), ("p95", 95), ("p99", 99)]:
        assert found[name] == pytest.approx(np.percentile(samples, percent))
        assert found[name] == pytest.approx(naive_percentile(samples, percent))
    mean = sum(samples) / count
    assert found["avg"] == pytest.approx(mean)
    assert found["stddev"] == pytest.approx((sum((s - mean) ** 2 for s in samples) / count) ** 0.5)


def test_a_whole_result_passes_also_after_json():
    validate_result(result())
    validate_result(json.loads(json.dumps(result())))


def test_rounded_statistics_pass():
    rounded = result()
    inference = rounded["rows"][0]["inference"]
    inference["stddev"], inference["p95"] = 1.118, 3.85
    validate_result(rounded)


def fields(value, path=()):
    """Paths of all fields and of the fields inside them, those of a list by its first entry."""
    if isinstance(value, list):
        value = {0: value[0]} if value and isinstance(value[0], dict) else {}
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from fields(inner, (*path, name))


def name_of(path):
    return ".".join(map(str, path)).replace(".0", "[0]")


REQUIRED = [path for path in fields(result()) if path not in {("machine", "battery"), ("rows", 0)}]


@pytest.mark.parametrize("path", REQUIRED, ids=name_of)
def test_each_field_is_required_and_of_its_kind(path):
    for replacement in [None, "", -1, True, float("nan"), []]:
        broken = result()
        parent = broken
        for step in path[:-1]:
            parent = parent[step]
        if replacement is None:
            del parent[path[-1]]
        else:
            parent[path[-1]] = replacement
        with pytest.raises(BenchmarkError) as error:
            validate_result(broken)
        assert f"Latency result: {name_of(path)} " in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), "other", r"schema is 'other'"),
        (("schema_version",), 2, r"schema_version is 2"),
        (("created",), "2026-01-31T12:00:00", r"created is"),
        (("created",), "2026-01-31T12:00:00+02:00", r"created is"),
        (("created",), "yesterday", r"created is 'yesterday'"),
        (("rows", 0, "model", "file"), "models/m.tflite", r"rows\[0\]\.model\.file .*folders"),
        (("rows", 0, "model", "sha256"), "ABC", r"rows\[0\]\.model\.sha256"),
        (("rows", 0, "inference", "count"), 5, r"inference\.count is 5, but there are 4"),
        (("rows", 0, "inference", "p95"), 3.0, r"inference\.p95 is 3.0, .* give 3\.85"),
        (("rows", 0, "inference", "samples"), [1, 2, "3", 4], r"inference\.samples"),
        (
            ("rows", 0, "inference", "samples"),
            [10**400] * 4,
            r"inference\.samples is not a list of",
        ),
        (("rows", 0, "inference", "p95"), 10**400, r"inference\.p95 is 1.{,60}0, not a time in"),
        (("rows", 0, "inference", "count"), 10**4000, r"count is 1.{,60}0, but there are 4"),
        (("rows", 0, "model", "file"), "x/" * 9000, r"file is '.{,90}', not a file name"),
        (("machine", "cpu"), "\ud800", "a text that is not Unicode"),
        (("rows", 0, "first"), None, r"first is None"),
        (("rows", 0), [], r"rows\[0\] is \[\]"),
    ],
)
def test_impossible_values_are_named(path, value, message):
    broken = copy.deepcopy(result())
    parent = broken
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    with pytest.raises(BenchmarkError, match=message):
        validate_result(broken)


def test_only_an_object_is_a_result():
    with pytest.raises(BenchmarkError, match="not an object"):
        validate_result([result()])
