"""Classes of a training: the identities of its training split, as numbers."""

from collections.abc import Sequence

import numpy as np

from iris_tf.objectives.class_centres import ClassCentres
from iris_tf.support.errors import DatasetError, ModelError


def number_identities(identities: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Number the identity of each image by its place among the classes.

    Parameters
    ----------
    identities : sequence of str
        Identity of each image.
    classes : sequence of str
        Distinct identities.

    Returns
    -------
    ndarray of shape (n_images,), int32

    Raises
    ------
    DatasetError
        If an identity is not among the classes; names it.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for name in identities:
        if name not in numbers:
            raise DatasetError(
                f"The identity {name!r} is not among the {len(classes)} classes; train on the "
                "identities that the classes were made of."
            )
    return np.array([numbers[name] for name in identities], np.int32)


def class_names(identities: Sequence[str], turned: bool) -> tuple[str, ...]:
    """Names of the classes that the labels of a batch number.

    With `turned`, each identity is followed by its rotated copy, see
    `iris_tf.training.input_pipeline.training_dataset`.
    """
    if not turned:
        return tuple(identities)
    return tuple(name for identity in identities for name in (identity, f"{identity} turned"))


def check_same_classes(teacher: ClassCentres | None, classes: Sequence[str] | None = None) -> None:
    """Check that a teacher gives class logits, and that they are of the student's classes.

    Parameters
    ----------
    teacher : ClassCentres or None
    classes : sequence of str, optional
        The student's; None while they are not known.

    Raises
    ------
    ModelError
        If the teacher has no classes, or others; names both counts, or a class that differs.
    """
    if teacher is None:
        raise ModelError(
            "the teacher has no class centres, so it gives no class logits; choose the run folder "
            "of a model trained with the objective arcface, cosface or softmax."
        )
    if classes is None:
        return
    if len(teacher.names) != len(classes):
        raise ModelError(
            f"the teacher was trained on {len(teacher.names)} classes, but the student's labels "
            f"have {len(classes)}; train both on the same split."
        )
    if teacher.names != tuple(classes):
        pair = next((a, b) for a, b in zip(teacher.names, classes, strict=True) if a != b)
        raise ModelError(
            f"the teacher's classes are other identities than the student's ({pair[0]!r} where the "
            f"student has {pair[1]!r}); train both on the same split."
        )
