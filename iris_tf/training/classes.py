"""Classes of a training: the identities of its training split, as numbers."""

from collections.abc import Sequence

from iris_tf.objectives.class_centres import ClassCentres
from iris_tf.support.errors import ModelError


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
