import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small_recipes import small_recipe

from iris_tf.exporting.export_run import export_run
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.pipelines.quantization_stages import RunQuantization
from iris_tf.quantization.schemes import FixedStep, MixedScheme
from iris_tf.quantization.wrapping import fix_precision
from iris_tf.recognition.open_model import open_model
from iris_tf.support.errors import TrainingError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.train_model import train

PROGRAM = Path(__file__).parents[1] / "tiny_network.py"
TUNING = {"fine_tuning": {"epochs": 2, "first_epochs": 2}, "calibration_crops": 16}


TWO = MixedScheme(iterations=2).steps()
pytestmark = pytest.mark.usefixtures("tiny_module")


@pytest.fixture(scope="module")
def trained(tiny_module, small_dataset, tmp_path_factory):
    """The float run. Do not modify."""
    folder = tmp_path_factory.mktemp("float")
    return train(small_recipe(folder, small_dataset, epochs=1, quantization=TUNING))


@pytest.fixture
def run(trained, tmp_path):
    return RunFolder(shutil.copytree(trained.path, tmp_path / "run"))


@pytest.fixture(scope="module")
def uninterrupted(trained, tmp_path_factory):
    """Both iterations of `TWO`, and their table."""
    copy = shutil.copytree(trained.path, tmp_path_factory.mktemp("uninterrupted") / "run")
    quantization = RunQuantization(RunFolder(copy), trained.recipe())
    return quantization, quantization.carry_out(TWO)


def test_a_fixed_network_is_trained_packed_and_evaluated_once(run, capfd):
    quantization = RunQuantization(run, run.recipe())
    table = quantization.carry_out([FixedStep(6)])
    folder = run.path.with_name("run_quantized")
    file = folder / "fixed6" / "models" / "run_fixed6.irq"
    card = ModelCard.beside(file)
    assert card.files[file.name].precision == "fixed6"
    assert card.parity == {"fixed6": 1.0}
    trained = RunFolder(folder / "fixed6")
    assert trained.state().epochs_done == 2
    rois = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    expected = embed_rois(load_embedding_model(trained.best), rois)
    np.testing.assert_array_equal(open_model(file).embed(rois), expected)
    metrics = json.loads((folder / "fixed6" / "evaluation" / "metrics.json").read_text())
    (other,) = metrics["others"]
    assert other["model"]["precision"] == "fixed6"
    line = next(line for line in table.splitlines() if line.startswith("| fixed6"))
    parts = json.loads((folder / "fixed6" / "bits.json").read_text())["size"]
    size = file.stat().st_size
    assert sum(parts[part] for part in ("weights", "mask", "numbers", "graph")) == size
    cells = line.split(" | ")
    assert cells[:3] == ["| fixed6", "6.00", f"{size / 1024:,.0f}"]
    assert cells[3].startswith(f"{parts['weights'] / 1024:,.0f}, {parts['mask'] / 1024:,.0f}, ")
    assert cells[4].startswith(f"{100 * other['evaluation']['metrics']['eer']:.2f}")
    assert (folder / "quantization.md").read_text("utf-8") == table
    assert "Quantised networks" in (folder / "report.html").read_text("utf-8")

    before = (trained.best.stat().st_mtime_ns, file.stat().st_mtime_ns)
    capfd.readouterr()
    assert RunQuantization(run, run.recipe()).carry_out([FixedStep(6)]) == table
    assert (trained.best.stat().st_mtime_ns, file.stat().st_mtime_ns) == before
    assert capfd.readouterr().err.count("done before, inputs unchanged") == 3


def test_a_quantised_network_is_exported_with_its_rounded_weights(uninterrupted, tmp_path):
    quantization, _ = uninterrupted
    step = shutil.copytree(quantization.folder / "mixed02", tmp_path / "mixed02")
    folder, card = export_run(step, ["float32", "int8"])
    assert set(card.parity) == {"float32", "int8"} and card.parity["float32"] > 0.9999
    interpreter = Interpreter(model_path=str(folder / "mixed02_float32.tflite"))
    interpreter.allocate_tensors()
    kernels = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if len(detail["shape"]) == 4 and min(detail["shape"][:3]) > 1  # by output channel
    ]
    assert len(kernels) == 3
    for kernel in kernels:
        # Two bits: one or three thirds of the largest weight, times the normalisation's scale.
        magnitudes = np.abs(kernel.reshape(len(kernel), -1))
        ratios = magnitudes / magnitudes.min(axis=1, keepdims=True)
        assert set(np.unique(np.round(ratios, 3))) <= {1.0, 3.0}
        assert 3.0 in np.round(ratios, 3)


def test_iterations_start_from_the_first_ones_weights(run):
    quantization = RunQuantization(run, run.recipe())
    table = quantization.carry_out([*MixedScheme(iterations=4).steps(), FixedStep(8)])
    lines = [line.split(" | ") for line in table.splitlines() if line.startswith(("| m", "| fi"))]
    # The tiny network has an even number of weights in all, so half of them is exact.
    assert [(cells[0], cells[1]) for cells in lines] == [
        ("| fixed8", "8.00"), ("| mixed01", "8.00"), ("| mixed02", "6.00"), ("| mixed03", "5.00"),
        ("| mixed04", "2.00"),
    ]  # fmt: skip
    folder = quantization.folder
    first = folder / "mixed01" / "checkpoints" / "best.keras"
    for number in (2, 3, 4):
        other = RunFolder(folder / f"mixed0{number}")
        assert other.recipe().network.weights == str(first)
        assert any(str(first) in name for name in json.loads(other.inputs.read_text()))
    bits = json.loads((folder / "mixed03" / "bits.json").read_text())
    names = [name for name, _ in bits["layers"]]
    assert names == ["conv1_conv", "conv2_conv", "conv3_conv", "head_dense"]  # from input to output
    assert (folder / "bits_by_layer.png").is_file()


def rows_of(table):
    """Average bits in the table by network."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {cells[0]: cells[1] for cells in lines if cells[0].startswith(("fixed", "mixed"))}


def test_a_table_has_networks_of_one_scheme(run, capfd):
    quantization = RunQuantization(run, run.recipe())
    first = rows_of(quantization.carry_out(MixedScheme(3).steps()))
    assert first == {"mixed01": "8.00", "mixed02": "6.00", "mixed03": "2.00"}
    capfd.readouterr()
    other = rows_of(quantization.carry_out(MixedScheme(2, minimum_bits=4).steps()))
    assert other == {"mixed01": "8.00", "mixed02": "4.00"}
    messages = capfd.readouterr().err
    assert "train mixed01: done before" in messages
    assert "mixed03 is of another scheme" in messages


@pytest.fixture
def begun(run):
    """Writes folders and stamps of iterations, as `MixedScheme(3)` leaves them."""
    folder = run.path.with_name("run_quantized")

    def write(**stamps):
        quantization = RunQuantization(run, run.recipe())
        for name, stamp in stamps.items():
            (folder / name).mkdir()
            (folder / ".stages").mkdir(exist_ok=True)
            (folder / ".stages" / f"train-{name}.json").write_text(json.dumps(stamp))
        return quantization

    return write


MIDDLE, LAST = {"fraction": 0.5, "minimum_bits": 2}, {"bits": 2}


@pytest.mark.parametrize(
    ("scheme", "kept"),
    [
        (MixedScheme(3), ["mixed01", "mixed02", "mixed03"]),
        (MixedScheme(4), ["mixed01", "mixed02"]),  # the last of 3 has fewer bits
        (MixedScheme(3, fraction=0.1), ["mixed01", "mixed03"]),
        (MixedScheme(3, minimum_bits=4), ["mixed01"]),
        (MixedScheme(2), ["mixed01"]),
    ],
)
def test_iterations_of_another_scheme_are_set_aside(begun, scheme, kept):
    quantization = begun(
        mixed01={"recipe": "a"},
        mixed02={"unfinished": {"recipe": "a", "scheme": MIDDLE}},  # as a killed one leaves it
        mixed03={"recipe": "a", "scheme": LAST},
    )
    quantization.set_aside_other_schemes(scheme)
    folders = sorted(path.name for path in quantization.folder.glob("mixed*"))
    moved = {"mixed01", "mixed02", "mixed03"} - set(kept)
    assert folders == sorted([*kept, *(f"{name}.replaced" for name in moved)])


def test_iterations_of_an_unknown_scheme_are_set_aside(begun):
    """Earlier versions did not record the scheme; the first iteration is the same in all."""
    quantization = begun(mixed01={"recipe": "a"}, mixed02={"recipe": "a"}, mixed03={})
    quantization.set_aside_other_schemes(MixedScheme(3))
    assert sorted(path.name for path in quantization.folder.glob("mixed*")) == [
        "mixed01", "mixed02.replaced", "mixed03.replaced",
    ]  # fmt: skip


def test_the_table_has_no_rows_about_an_earlier_float_network(run):
    quantization = RunQuantization(run, run.recipe())
    assert list(rows_of(quantization.carry_out([FixedStep(4)]))) == ["fixed4"]
    model = load_embedding_model(run.best)
    model.set_weights([1.1 * value for value in model.get_weights()])
    model.save(run.best)
    assert list(rows_of(quantization.carry_out([FixedStep(8)]))) == ["fixed8"]


def test_layers_that_export_keeps_in_float_are_no_reason_to_train_again(run, capfd):
    recipe = run.recipe()
    RunQuantization(run, recipe).carry_out([FixedStep(6)])
    capfd.readouterr()
    changed = replace(recipe, quantization=replace(recipe.quantization, keep_float=["head_dense"]))
    RunQuantization(run, changed).carry_out([FixedStep(6)])
    assert capfd.readouterr().err.count("done before, inputs unchanged") == 3


def test_a_run_of_a_quantised_network_is_refused(run):
    rois = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    fix_precision(load_embedding_model(run.best), 6, rois).save(run.best)
    with pytest.raises(
        TrainingError, match=r"run: the network of this run is quantised already; give the run"
    ):
        RunQuantization(run, run.recipe())
    assert not run.path.with_name("run_quantized").exists()


def test_an_unfinished_run_is_refused(run):
    run.recipe_file.write_text(run.recipe_file.read_text().replace("epochs: 1", "epochs: 3", 1))
    with pytest.raises(
        TrainingError, match=r"not complete; finish it with `iris-tf train --resume"
    ):
        RunQuantization(run, run.recipe())


def kill_once_there(run, path):
    """Quantise in a process of its own, and end it by SIGKILL once `path` is there."""
    arguments = [run.path, "--scheme", "mixed", "--iterations", "2"]
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "quantize", *arguments], stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not path.exists():
        time.sleep(0.01)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors


@pytest.mark.parametrize(
    "stop",
    [
        "mixed01/evaluation/metrics.json",  # between iterations
        "mixed02/checkpoints/epoch-0001/state.json",  # within one
    ],
)
def test_a_killed_run_goes_on_and_ends_the_same(run, uninterrupted, stop, capfd):
    quantization = RunQuantization(run, run.recipe())
    kill_once_there(run, quantization.folder / stop)
    first = quantization.folder / "mixed01" / "checkpoints" / "best.keras"
    before = first.stat().st_mtime_ns
    assert not (quantization.folder / "quantization.md").exists()
    capfd.readouterr()
    table = quantization.carry_out(TWO)
    assert "train mixed01: done before" in capfd.readouterr().err
    assert first.stat().st_mtime_ns == before
    whole, expected_table = uninterrupted
    assert expected_table.count("| mixed0") == table.count("| mixed0") == 2
    for name in ("mixed01", "mixed02"):
        bits, expected_bits = (read_bits(one.folder / name) for one in (quantization, whole))
        assert bits == expected_bits
        losses, expected = (losses_of(one.folder / name) for one in (quantization, whole))
        assert losses == pytest.approx(expected, rel=1e-4)


def losses_of(step):
    return [row["loss"] for row in RunFolder(step).state().history]


def read_bits(step):
    return json.loads((step / "bits.json").read_text())["layers"]
