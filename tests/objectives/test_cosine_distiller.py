import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.cosine_distiller import CosineDistiller
from iris_tf.objectives.objective import Outputs, StepBatch
from iris_tf.support.errors import ModelError


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def step(student, teacher, queried, rows, teacher_active=True):
    return StepBatch(
        student=Outputs(tf.constant(student, tf.float32)),
        teacher=Outputs(tf.constant(teacher, tf.float32)),
        labels=tf.zeros(len(student), tf.int32),
        queried=tf.constant(queried),
        teacher_active=tf.constant(teacher_active),
        rows=tf.constant(rows, tf.int32),
        groups=1,
        group_size=len(student),
        step=tf.constant(0),
        replica=0,
    )


def case():
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(5, 4))), unit(rng.normal(size=(5, 4)))


def test_rows_that_the_teacher_was_not_asked_about_count_as_0():
    student, teacher = case()
    queried = [True, False, True, True, False]
    rows = [0, 1, 1, 3]  # a row may occur twice, as mined negatives do
    found = CosineDistiller().compute(step(student, teacher, queried, rows))
    expected = sum(1 - student[row] @ teacher[row] for row in rows if queried[row]) / len(rows)
    assert float(found.terms["distillation"]) == pytest.approx(expected, abs=1e-6)
    assert float(found.metrics["teacher_distance"]) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_array_equal(found.rows, rows)


def test_no_gradient_comes_from_rows_that_were_not_asked_about():
    student, teacher = case()
    queried = np.array([True, False, True, True, False])
    embeddings = tf.constant(student, tf.float32)
    batch = step(student, teacher, queried, range(5))
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        batch = batch._replace(student=Outputs(embeddings))
        loss = CosineDistiller().compute(batch).terms["distillation"]
    moved = np.abs(tape.gradient(loss, embeddings)).max(axis=1) > 0
    np.testing.assert_array_equal(moved, queried)


def test_a_student_that_is_its_teacher_has_no_distance():
    student, _ = case()
    found = CosineDistiller().compute(step(student, student, [True] * 5, range(5)))
    assert float(found.terms["distillation"]) == pytest.approx(0, abs=1e-6)


def test_there_is_no_distance_while_the_teacher_is_not_consulted():
    student, _ = case()
    silent = step(student, np.zeros((5, 4)), [False] * 5, range(5), teacher_active=False)
    found = CosineDistiller().compute(silent)
    assert float(found.terms["distillation"]) == 0
    assert np.isnan(found.metrics["teacher_distance"])


def test_embeddings_must_be_of_one_size():
    CosineDistiller.check_sizes(8, 8)
    with pytest.raises(ModelError, match="embeddings have 8 dimensions, but the student's have 6"):
        CosineDistiller.check_sizes(student=6, teacher=8)
