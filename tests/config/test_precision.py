import dataclasses

import pytest

from iris_tf.config.precision import (
    DEFAULT_PRECISIONS,
    PRECISIONS,
    RELEASED_PRECISION,
    Precision,
    current_name,
    finest,
)


def test_file_name_has_the_models_name_and_the_precision():
    assert PRECISIONS["float16"].file_name("mobiiris") == "mobiiris_float16.tflite"
    packed = Precision("mixed2", "2 bits on average", 2, 2, 0.9, (2, 1), "dotted", suffix=".irq")
    assert packed.file_name("student") == "student_mixed2.irq"


def test_registry_runs_from_fine_to_coarse():
    bits = [precision.weight_bits for precision in PRECISIONS.values()]
    assert bits == sorted(bits, reverse=True) == [32, 16, 8, 8, 8, 4]
    assert all(name == precision.name for name, precision in PRECISIONS.items())
    assert {*DEFAULT_PRECISIONS, RELEASED_PRECISION} <= PRECISIONS.keys()


def test_lines_can_be_told_apart():
    assert len({precision.dashes for precision in PRECISIONS.values()}) == len(PRECISIONS)
    assert len({precision.line for precision in PRECISIONS.values()}) == len(PRECISIONS)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["float16", "float32"], "float32"),
        (["int8", "float16"], "float16"),
        (["int8"], "int8"),
    ],
)
def test_finest(names, expected):
    assert finest(names) == expected


def test_former_name_leads_to_todays(monkeypatch):
    # Also where another precision has the name by now.
    assert (current_name("int8"), current_name("no such")) == ("dynamic8", "no such")
    renamed = dataclasses.replace(PRECISIONS["float16"], name="half", former_names=("float16",))
    monkeypatch.setitem(PRECISIONS, "half", renamed)
    assert current_name("float16") == "half"
