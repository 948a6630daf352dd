"""What `import iris_tf` offers: names, completion, types, and how little it costs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import iris_tf

SOURCE = Path(iris_tf.__file__)


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def for_type_checkers():
    """Public names as a type checker sees them: module and name, by public name."""
    tree = ast.parse(SOURCE.read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.asname: f"{node.module}.{alias.name}" for node in block.body for alias in node.names
    }


def test_type_checkers_see_what_is_loaded():
    found = {name: f"iris_tf.{place}" for name, place in iris_tf._PLACES.items()}
    assert for_type_checkers() == found
    assert sorted([*found, "__version__"]) == sorted(iris_tf.__all__)
    assert (SOURCE.parent / "py.typed").is_file()


def test_names_are_completed_and_others_refused():
    assert set(iris_tf.__all__) <= set(dir(iris_tf))
    with pytest.raises(AttributeError, match="'nothing'"):
        iris_tf.nothing  # noqa: B018


def test_nothing_is_loaded_before_it_is_asked_for():
    loaded = in_a_new_process(
        "import json, sys, iris_tf; dir(iris_tf); print(json.dumps(list(sys.modules)))"
    )
    assert not {"numpy", "cv2", "keras", "tensorflow", "matplotlib"} & set(json.loads(loaded))


def test_what_needs_no_tensorflow_does_not_load_it():
    names = [name for name in iris_tf.__all__ if name not in ("export", "train")]
    in_a_new_process(
        f"from iris_tf import {', '.join(names)}\nimport sys\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )


def test_export_and_train_are_functions_whatever_was_imported_before():
    in_a_new_process(
        "import iris_tf.exporting.export_run, iris_tf.training.train_model\n"
        "from iris_tf import export, train\n"
        "assert callable(export) and callable(train)"
    )
