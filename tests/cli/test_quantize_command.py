"""What `iris-tf quantize` refuses, in one sentence."""

import pytest
from small_recipes import write_recipe

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.training.run_folder import RunFolder


@pytest.fixture
def run(tiny, tmp_path):
    """A run that nothing has been trained in."""
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path / "run", tmp_path / "dataset")
    return RunFolder.create(load_recipe(recipe, TrainRecipe)).path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixed", "--fraction", "0"], "fraction is 0.0; choose a share above 0 and up to 1."),
        (["mixed", "--fraction", "1.5"], "fraction is 1.5; choose a share above 0 and up to 1."),
        (["mixed", "--fraction", "nan"], "fraction is nan; choose a share above 0 and up to 1."),
        (["mixed", "--bits", "4"], "--bits belongs to --scheme fixed; leave it out"),
        (["mixed", "--bits", "8"], "--bits belongs to --scheme fixed; leave it out"),
        (["fixed", "--iterations", "3"], "--iterations belongs to --scheme mixed; leave it"),
        (["fixed", "--fraction", "0.5"], "--fraction belongs to --scheme mixed; leave it out"),
        (["fixed", "--minimum-bits", "3"], "--minimum-bits belongs to --scheme mixed; leave"),
        (["fixed", "network.input_size=[64,64]"], "network.input_size=[64,64]: networks are"),
        (["fixed", "network.embedding_size=4"], "network.embedding_size=4: networks are fine"),
        (["mixed", "network.name=resnet18"], "network.name=resnet18: networks are fine-tuned"),
        (["fixed", "epochs=4"], "only keys that begin with `quantization.` can be changed here"),
        (["fixed", "quantization.seed=1"], "this run is not complete; finish it with"),
    ],
)
def test_refused_in_one_sentence(run, run_cli, arguments, message):
    status, _, err = run_cli("quantize", run, "--scheme", *arguments)
    assert status == 2
    [sentence] = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert message in sentence
    assert "Traceback" not in err
    assert not run.with_name("run_quantized").exists()


@pytest.mark.parametrize(
    "arguments",
    [["fixed", "--bits", "1"], ["fixed", "--bits", "9"], ["mixed", "--minimum-bits", "8"]],
)
def test_bits_out_of_range(run, run_cli, arguments):
    status, _, err = run_cli("quantize", run, "--scheme", *arguments)
    assert status == 2 and f"Invalid value for '{arguments[1]}'" in err and "Traceback" not in err
