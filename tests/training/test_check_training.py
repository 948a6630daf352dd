import warnings

import pytest
from small_recipes import small_recipe

from iris_tf.support.errors import RecipeError
from iris_tf.training.check_training import check_strips, warn_of_squeezed_crops


def recipe_of(tiny, tmp_path, size):
    return small_recipe(tmp_path, tmp_path / "strips", network={"name": tiny, "input_size": size})


def test_strips_in_a_square_are_squeezed(tiny, tmp_path):
    with pytest.warns(
        RuntimeWarning,
        match=r"strips: its unrolled crops have 8 columns per row, but `network\.input_size` "
        r"\[64, 64\] has 1, so they are squeezed out of shape",
    ):
        warn_of_squeezed_crops(recipe_of(tiny, tmp_path, [64, 64]), "unrolled")


@pytest.mark.parametrize(
    ("size", "roi_mode"),
    [([64, 512], "unrolled"), ([64, 256], "unrolled"), ([64, 96], "aligned"), ([32, 320], "whole")],
)
def test_crops_that_keep_their_shape_or_have_none_give_no_warning(tiny, tmp_path, size, roi_mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_squeezed_crops(recipe_of(tiny, tmp_path, size), roi_mode)


def test_colours_of_strips_whose_zeros_are_hidden_places(tiny, tmp_path):
    recipe = recipe_of(tiny, tmp_path, [64, 512])
    check_strips(recipe, "unrolled")
    recipe.augmentation.colour_jitter = 0.2
    check_strips(recipe, "aligned")
    with pytest.raises(RecipeError, match=r"colour_jitter` would change the 0 of hidden places"):
        check_strips(recipe, "unrolled")
