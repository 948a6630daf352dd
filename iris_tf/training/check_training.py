"""Checks of recipe, crops and teacher before training starts."""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import keras

from iris_tf.config.names import CLASSIFIERS
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.networks.feature_maps import check_features
from iris_tf.networks.weights import check_matching_weights
from iris_tf.objectives.objective import Distiller
from iris_tf.objectives.registry import DISTILLERS, OBJECTIVES
from iris_tf.segmentation.roi_modes import STRIP_ANGLES, STRIP_RADII
from iris_tf.support.errors import ModelError, RecipeError
from iris_tf.training.build_student import build_student
from iris_tf.training.classes import check_same_classes
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.teacher import Teacher, check_strip_size, teacher_roi_mode

# Rows and columns of crops, up to scale.
_SHAPES = {"unrolled": (STRIP_RADII, STRIP_ANGLES), "aligned": (1, 1), "center": (1, 1)}
_MOST_STRETCH = 2.0


def check_models(recipes: Mapping[str, TrainRecipe], roi_mode: str, channels: int = 1) -> None:
    """Check all models of a pipeline before any is trained, so that errors show up early.

    Each network is built with its initial weights; of weights and teachers that another model of
    the pipeline will provide, the architecture is checked. Models whose runs have started with
    the same recipe are skipped: they were checked then.

    Parameters
    ----------
    recipes : mapping of str to TrainRecipe
        By model name; see `iris_tf.training.model_recipes.model_recipes`.
    roi_mode : str
        ROI mode of the training crops.
    channels : {1, 3}, optional
        Channels of the training crops.

    Raises
    ------
    RecipeError, ModelError
        If a model cannot be trained; names the model.
    """
    for name, recipe in recipes.items():
        if recipe.strategy == "multi_worker":
            raise RecipeError(
                f"models.{name}: strategy is multi_worker, but the other stages of a pipeline run "
                "on one machine; choose single or mirrored, or train with `iris-tf train`."
            )
        if RunFolder(recipe.run).continues(recipe):
            continue
        try:
            check_strips(recipe, roi_mode, channels)
            _check_teacher_of(recipe, recipes, roi_mode)
            _check_weights(recipe, recipes, channels)
        except (ModelError, RecipeError) as error:
            raise type(error)(f"models.{name}: {error}") from None
        finally:
            keras.backend.clear_session()


def _check_teacher_of(
    recipe: TrainRecipe, recipes: Mapping[str, TrainRecipe], roi_mode: str
) -> None:
    """Check the teacher of a model, which may be a model of the pipeline."""
    path = recipe.distillation.teacher
    if path is None:
        return
    teacher = next((other for other in recipes.values() if other.run == path), None)
    if teacher is None:
        check_features(recipe.network.name, recipe.distillation.features)
        external = Teacher.load(path, tuple(recipe.distillation.features.values()))
        check_teacher(recipe, path, external, roi_mode)
    else:
        _check_pair(recipe, teacher)


def _check_pair(recipe: TrainRecipe, teacher: TrainRecipe) -> None:
    """Check a student against the recipe of a teacher that is not trained yet."""
    _check_sizes(recipe, teacher.network.embedding_size)
    if teacher.network.normalization == "local_contrast":
        check_strip_size(teacher.network.crop_size, recipe.network.crop_size)
    logits = any(distiller.compares_logits for distiller in _distillers(recipe))
    if logits and not OBJECTIVES[teacher.objective].has_classes:
        raise RecipeError(
            f"distillation.distiller is {recipe.distillation.distiller}, which compares class "
            f"logits, but the teacher's objective is {teacher.objective}, which has none; train "
            f"the teacher with one of {', '.join(CLASSIFIERS)}."
        )
    for names, network in (
        (recipe.distillation.features, recipe.network.name),
        (recipe.distillation.features.values(), teacher.network.name),
    ):
        check_features(network, names)


def _check_weights(recipe: TrainRecipe, recipes: Mapping[str, TrainRecipe], channels: int) -> None:
    """Build a model with its initial weights, which may be those of a model of the pipeline."""
    weights = recipe.network.weights
    sources = {str(RunFolder(other.run).best): other for other in recipes.values()}
    if weights not in sources:
        build_student(recipe, channels)
        return
    student, source = (
        build_student(replace(one, network=replace(one.network, weights="none")), channels)
        for one in (recipe, sources[weights])
    )
    check_matching_weights(student, source)


def warn_of_squeezed_crops(recipe: TrainRecipe, roi_mode: str) -> None:
    """Warn if the network's input is more than twice as wide or high as its crops' shape asks for.

    Only where all crops of a ROI mode have one shape.
    """
    shape = _SHAPES.get(roi_mode)
    if shape is None:
        return
    (height, width), (rows, columns) = recipe.network.crop_size, shape
    stretch = (width / height) / (columns / rows)
    if max(stretch, 1.0 / stretch) > _MOST_STRETCH:
        warnings.warn(
            f"{recipe.dataset}: its {roi_mode} crops have {columns / rows:g} columns per row, but "
            f"`network.input_size` [{height}, {width}] has {width / height:g}, so they are "
            "squeezed out of shape; choose an input size of that shape, or other crops.",
            RuntimeWarning,
            stacklevel=2,
        )


def check_strips(recipe: TrainRecipe, roi_mode: str, channels: int = 1) -> None:
    """Check that settings for unrolled strips are only used with unresized grey strips.

    Raises
    ------
    RecipeError
        If the crops are of another kind or are resized; names the setting.
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
    if roi_mode == "unrolled" and recipe.augmentation.flip_share:
        raise RecipeError(
            f"{recipe.dataset}: its crops are unrolled strips, but `augmentation.flip_share` would "
            "mirror them, which gives irises of nobody; leave it out."
        )
    if roi_mode == "unrolled" and recipe.augmentation.colour_jitter:
        raise RecipeError(
            f"{recipe.dataset}: its crops are unrolled strips, but `augmentation.colour_jitter` "
            "would change the 0 of hidden places, which then count as iris; leave it out."
        )
    network, strip = recipe.network, [STRIP_RADII, STRIP_ANGLES]
    if network.normalization == "local_contrast" and list(network.input_size) != strip:
        # Resizing a strip loses which pixels are masked.
        raise RecipeError(
            f"network.input_size is {list(network.input_size)}, but `local_contrast` takes "
            f"unresized strips of {strip}; downsample in the network with `network.reduction`."
        )


def check_teacher(
    recipe: TrainRecipe,
    path: str,
    teacher: Teacher,
    roi_mode: str,
    classes: tuple[str, ...] | None = None,
) -> None:
    """Check that a teacher is compatible with the student and its crops.

    Parameters
    ----------
    recipe : TrainRecipe
        Recipe of the student.
    path : str
        Path that the teacher was loaded from.
    teacher : Teacher
    roi_mode : str
        ROI mode of the student's training crops.
    classes : tuple of str, optional
        Classes that the student's labels number; None while the dataset is not known.

    Raises
    ------
    ModelError
        If the distiller cannot compare embeddings or class logits, or the teacher was trained on
        other crops; names the teacher.
    """
    try:
        _check_sizes(recipe, teacher.embedding_size)
        teacher.check_input(recipe.network.crop_size)
        if any(distiller.compares_logits for distiller in _distillers(recipe)):
            check_same_classes(teacher.centres, classes)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    teacher_mode = teacher_roi_mode(path)
    if teacher_mode not in (None, roi_mode):
        raise ModelError(
            f"{path}: the teacher takes {teacher_mode} crops, but the crops of {recipe.dataset} "
            f"are {roi_mode}; choose a teacher for the same kind of crops."
        )


def _check_sizes(recipe: TrainRecipe, teacher_embedding_size: int) -> None:
    for distiller in _distillers(recipe):
        distiller.check_sizes(recipe.network.embedding_size, teacher_embedding_size)


def _distillers(recipe: TrainRecipe) -> tuple[type[Distiller], ...]:
    return DISTILLERS[recipe.distillation.distiller]
