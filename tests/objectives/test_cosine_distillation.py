import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics.pairwise import paired_cosine_distances

from iris_tf.objectives.cosine_distillation import cosine_distillation


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_equals_scikit_learn_for_any_length(dtype, tolerance):
    rng = np.random.default_rng(5)
    student, teacher = rng.normal(size=(2, 20, 8))
    found = cosine_distillation(student.astype(dtype), teacher.astype(dtype))
    np.testing.assert_allclose(found, paired_cosine_distances(student, teacher), atol=tolerance)


def test_mean_over_triplets_is_eq_7():
    rng = np.random.default_rng(6)
    student, teacher = rng.normal(size=(2, 4, 3, 8)).astype("float32")
    total = 0.0
    for s_triplet, t_triplet in zip(student, teacher, strict=True):
        total += sum(
            1 - s @ t / np.sqrt((s @ s) * (t @ t))
            for s, t in zip(s_triplet, t_triplet, strict=True)
        ) / 3  # fmt: skip
    assert float(tf.reduce_mean(cosine_distillation(student, teacher))) == pytest.approx(
        total / 4, rel=1e-5
    )


def test_only_the_student_learns():
    student, teacher = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        loss = tf.reduce_sum(cosine_distillation(student, teacher))
    to_student, to_teacher = tape.gradient(loss, [student, teacher])
    # -d cos / ds = -(t - cos s) for unit s.
    np.testing.assert_allclose(to_student, [[0.0, -1.0]], atol=1e-6)
    assert to_teacher is None


def test_zero_embeddings_give_no_nan():
    student = tf.zeros((1, 4))
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = tf.reduce_sum(cosine_distillation(student, tf.constant([[1.0, 0.0, 0.0, 0.0]])))
    assert float(loss) == 1.0
    assert np.isfinite(tape.gradient(loss, student)).all()
