"""What a training is refused for before it begins."""

from collections.abc import Mapping
from dataclasses import replace

import keras

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.registry import DISTILLERS
from iris_tf.segmentation.roi_modes import STRIP_ANGLES, STRIP_RADII
from iris_tf.support.errors import ModelError, RecipeError
from iris_tf.training.build_student import build_student
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.teacher import Teacher, check_strip_size, teacher_roi_mode


def check_models(recipes: Mapping[str, TrainRecipe], roi_mode: str, channels: int = 1) -> None:
    """Refuse now what one of several models would be refused for after the others' training.

    Models whose runs have begun were looked at then.

    Parameters
    ----------
    recipes : mapping of str to TrainRecipe
        By the models' names; see `iris_tf.training.model_recipes.model_recipes`.
    roi_mode : str
        Of the crops that they will be trained on.
    channels : {1, 3}, optional
        Of these crops.

    Raises
    ------
    RecipeError, ModelError
        Which names the model.
    """
    by_run = {recipe.run: recipe.network for recipe in recipes.values()}
    for name, recipe in recipes.items():
        if RunFolder(recipe.run).recipe_file.is_file():
            continue
        network, teacher = recipe.network, by_run.get(recipe.distillation.teacher or "")
        try:
            check_strips(recipe, roi_mode, channels)
            if teacher is not None:
                _check_sizes(recipe, teacher.embedding_size)
                if teacher.normalization == "local_contrast":
                    check_strip_size(teacher.crop_size, network.crop_size)
            build_student(replace(recipe, network=replace(network, weights="none")), channels)
        except (ModelError, RecipeError) as error:
            raise type(error)(f"models.{name}: {error}") from None
        finally:
            keras.backend.clear_session()


def check_strips(recipe: TrainRecipe, roi_mode: str, channels: int = 1) -> None:
    """Refuse what is for grey unrolled strips where crops are of another kind, or resized.

    Raises
    ------
    RecipeError
        Names the setting.
    """
    setting = next(recipe.strip_settings(), None)
    if setting and roi_mode != "unrolled":
        raise RecipeError(
            f"{recipe.dataset}: its crops are {roi_mode}, but `{setting}` is for unrolled strips; "
            "prepare the images with `--roi-mode unrolled`, or leave it out."
        )
    if setting and channels != 1:
        raise RecipeError(
            f"{recipe.dataset}: its crops have {channels} channels, but `{setting}` is for grey "
            "strips; prepare the images with `--channels 1`, or leave it out."
        )
    network, strip = recipe.network, [STRIP_RADII, STRIP_ANGLES]
    if network.normalization == "local_contrast" and list(network.input_size) != strip:
        # A strip that is resized has lost which of its pixels are hidden.
        raise RecipeError(
            f"network.input_size is {list(network.input_size)}, but `local_contrast` takes strips "
            f"as they are cut, {strip}; make them smaller in the network with `network.reduction`."
        )


def check_teacher(recipe: TrainRecipe, path: str, teacher: Teacher, roi_mode: str) -> None:
    """Refuse a teacher that the distiller cannot compare with the student, or of other crops.

    Parameters
    ----------
    recipe : TrainRecipe
        Of the student.
    path : str
        Where the teacher was loaded from.
    teacher : Teacher
    roi_mode : str
        Of the crops that the student is trained on.

    Raises
    ------
    ModelError
        Names the teacher.
    """
    try:
        _check_sizes(recipe, teacher.embedding_size)
        teacher.check_input(recipe.network.crop_size)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    taught = teacher_roi_mode(path)
    if taught not in (None, roi_mode):
        raise ModelError(
            f"{path}: the teacher was trained on {taught} crops, but those of {recipe.dataset} are "
            f"{roi_mode}; choose a teacher of the same crops."
        )


def _check_sizes(recipe: TrainRecipe, teacher_embedding_size: int) -> None:
    distiller = DISTILLERS[recipe.distillation.distiller]
    distiller.check_sizes(recipe.network.embedding_size, teacher_embedding_size)
