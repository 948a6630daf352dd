from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

from iris_tf.support.errors import ModelError
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.flatbuffer import read_model
from iris_tf.tflite.operators import operator_names

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "data" / "written_by_0_1_0"
SMALL = EARLIER / "pipeline" / "teacher" / "models" / "teacher_float32.tflite"
GOOD = sorted([*EARLIER.rglob("*.tflite"), *(ROOT / "models").rglob("*.tflite")])


@pytest.fixture
def written(tmp_path):
    """Writes the small model after a change of its parts."""

    def written(change):
        import flatbuffers

        model = schema.ModelT.InitFromPackedBuf(SMALL.read_bytes(), 0)
        change(model)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        (tmp_path / "model.tflite").write_bytes(builder.Output())
        return tmp_path / "model.tflite"

    return written


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_files_pass(path):
    assert read_model(path).SubgraphsLength() > 0


def test_an_unchanged_copy_passes(written):
    assert read_model(written(lambda model: None)).BuffersLength() > 0


def graph(change):
    return lambda model: change(model.subgraphs[0])


def constant(model):
    """A tensor of the first graph that has data."""
    return next(t for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: setattr(model, "version", 4), "version 4"),
        (lambda model: setattr(model, "subgraphs", []), "no graph"),
        (graph(lambda g: setattr(g.operators[0], "opcodeIndex", 99)), "operation 99"),
        (graph(lambda g: setattr(g.operators[0], "inputs", [10**6])), "tensor 1000000"),
        (graph(lambda g: setattr(g.operators[0], "outputs", [-7])), "tensor -7"),
        (graph(lambda g: setattr(g, "outputs", [999])), "tensor 999"),
        (graph(lambda g: setattr(g.tensors[0], "buffer", 999)), "buffer 999"),
        (graph(lambda g: setattr(g.tensors[0], "shape", [1, -5])), r"\[1, -5\]"),
        (graph(lambda g: setattr(g.tensors[0], "shape", [2**15, 2**15])), "32768"),
        (graph(lambda g: setattr(g.tensors[0], "externalBuffer", 1)), "in other files"),
        (lambda model: setattr(constant(model), "shape", [3, 3]), r"shape \[3, 3\] has"),
        (lambda model: setattr(model.signatureDefs[0], "subgraphIndex", 5), "graph 5"),
        (lambda model: setattr(model.signatureDefs[0].inputs[0], "tensorIndex", 999), "tensor 999"),
    ],
)
def test_contradictions_are_refused(written, change, reason):
    path = written(change)
    with pytest.raises(ValueError, match=reason):
        read_model(path)


@pytest.mark.parametrize("kept", [0, 7, 8, 40, 3000, -1])
def test_truncated_files_are_refused(tmp_path, kept):
    path = tmp_path / "model.tflite"
    path.write_bytes(SMALL.read_bytes()[:kept])
    for read in (model_cost, operator_names):
        with pytest.raises(ModelError, match="not a TFLite file, or a damaged one") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_and_other_files(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        model_cost(tmp_path / "missing.tflite")
    with pytest.raises(ModelError, match="no TFL3 mark"):
        model_cost(ROOT / "README.md")
