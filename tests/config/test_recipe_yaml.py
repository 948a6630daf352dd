import pytest

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.recipe_yaml import RecipeProblem, parse_yaml, read_yaml
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError

RESOLVERS = (
    "${oc.env:HOME}",
    "${oc.env:NOT_SET,default}",
    "x${ oc.env : HOME }y",
    "${oc.${part}:HOME}",
    "${oc.env:${part}}",
    "${oc.decode:'[1]'}",
    "${oc.create:{a:1}}",
)


@pytest.mark.parametrize("text", RESOLVERS)
def test_resolvers_are_refused_unresolved(tmp_path, monkeypatch, text):
    monkeypatch.setenv("HOME", "secret-of-the-environment")
    path = tmp_path / "recipe.yaml"
    path.write_text(f'run: "{text}"\ndataset: eyes\npart: env\n')
    with pytest.raises(RecipeError, match="resolver") as caught:
        load_recipe(path, TrainRecipe)
    assert "secret-of" not in str(caught.value)
    path.write_text(f'run: r\ndataset: eyes\nnetwork: {{attention: ["{text}"]}}\n')
    with pytest.raises(RecipeError, match="resolver"):
        load_recipe(path, TrainRecipe)


def test_resolvers_on_the_command_line_are_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("run: r\ndataset: eyes\n")
    with pytest.raises(RecipeError, match=r"command line: .*resolver"):
        load_recipe(path, TrainRecipe, ["run=${oc.env:HOME}"])


def test_other_keys_may_be_referred_to(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("run: r\nout: ${run}/release\n")
    assert parse_yaml(path.read_text())["out"] == "r/release"
    path.write_text("a: {b: x}\nc: ${a.b}-${a[b]}-${.a.b}\n")
    assert parse_yaml(path.read_text())["c"] == "x-x-x"


def test_aliases_that_expand_to_more_than_memory_holds(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(RecipeProblem, match="more than 10,000 values"):
        parse_yaml("\n".join(lines))
    with pytest.raises(RecipeProblem, match="more than 10,000 values"):
        parse_yaml("a: &a [*a]")
    assert parse_yaml("a: &a [1, 2]\nb: *a")["b"] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000,
        "a: " + "{b: " * 40 + "1" + "}" * 40,
        "a: " + "9" * 5000,
        "a: !!python/object/apply:os.system [id]",
        "a: !!binary x",
        "[1]: 2",
        "? {a: 1}\n: 2",
        "- 1",
        "a: ${",
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_one_sentence(text):
    with pytest.raises(RecipeProblem) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_recipe_is_a_small_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("#" * 2**20)
    assert read_yaml(path) == {}
    path.write_text("#" * (2**20 + 1))
    with pytest.raises(RecipeProblem, match="1,048,577 bytes"):
        read_yaml(path)
