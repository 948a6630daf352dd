"""Distillers of class logits, feature maps and relations, against loops."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.features_distiller import FeaturesDistiller
from iris_tf.objectives.objective import ModelShapes, Outputs, StepBatch
from iris_tf.objectives.relational_distiller import RelationalDistiller
from iris_tf.objectives.relations import RELATIONS
from iris_tf.objectives.soft_labels import soft_label_loss
from iris_tf.objectives.soft_labels_distiller import SoftLabelsDistiller

RNG = np.random.default_rng(4)


def step(student, teacher, rows, queried=None, active=True):
    size = student.embedding.shape[0]
    queried = [True] * size if queried is None else queried
    return StepBatch(
        student, teacher, tf.zeros(size, tf.int32), tf.constant(queried), tf.constant(active),
        tf.constant(rows, tf.int32), 1, size, tf.constant(0), 0,
    )  # fmt: skip


def assert_gradient(function, naive, array):
    """The tape's gradient of a scalar function is that of differences of the naive one."""
    variable = tf.Variable(array, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = function(variable)
    expected, h = np.zeros_like(array), 1e-5
    for place in np.ndindex(array.shape):
        shift = np.zeros_like(array)
        shift[place] = h
        expected[place] = (naive(array + shift) - naive(array - shift)) / (2 * h)
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable))
    np.testing.assert_allclose(gradient, expected, rtol=1e-2, atol=1e-3)


# -- Soft labels ----------------------------------------------------------------------------------


def naive_divergence(student, teacher, temperature):
    losses = []
    for s, t in zip(student, teacher, strict=True):
        p_s, p_t = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (s, t))
        losses.append(
            temperature**2 * sum(p * np.log(p / q) for p, q in zip(p_t, p_s, strict=True))
        )
    return np.array(losses)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_soft_labels_are_those_of_the_loop(temperature, dtype):
    student, teacher = RNG.normal(0, 4, (2, 5, 6)).astype(dtype)
    expected = naive_divergence(student.astype(np.float64), teacher.astype(np.float64), temperature)
    found = soft_label_loss(student, teacher, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_soft_labels_gradient():
    student, teacher = RNG.normal(0, 2, (2, 3, 4))
    assert_gradient(
        lambda s: tf.reduce_sum(soft_label_loss(s, teacher, 4.0)),
        lambda s: naive_divergence(s, teacher, 4.0).sum(),
        student,
    )


def test_soft_labels_average_over_the_rows_that_the_teacher_was_queried_about():
    student, teacher = RNG.normal(size=(2, 4, 3))
    rows, queried = [1, 2, 2], [True, False, True, True]
    # The student's logits are already those of the rows.
    batch = step(
        Outputs(tf.zeros((4, 2)), None, tf.constant(student[rows], tf.float32)),
        Outputs(tf.zeros((4, 2)), None, tf.constant(teacher, tf.float32)),
        rows,
        queried,
    )
    found = SoftLabelsDistiller(2.0).compute(batch)
    expected = 2 * naive_divergence(student, teacher, 2.0)[2] / 3
    assert float(found.terms["soft_labels"]) == pytest.approx(expected, rel=1e-4)
    silent = SoftLabelsDistiller(2.0).compute(batch._replace(teacher_active=tf.constant(False)))
    assert np.isnan(silent.metrics["label_divergence"])


# -- Feature maps ---------------------------------------------------------------------------------


def features_case(student_shape, teacher_shape):
    student = RNG.normal(size=(3, *student_shape))
    teacher = RNG.normal(size=(3, *teacher_shape))
    distiller = FeaturesDistiller({"stride8": "stride16"}, seed=5)
    distiller.create_variables(
        ModelShapes(2, (), {"stride8": student_shape}, {"stride16": teacher_shape})
    )
    return distiller, student, teacher


def features_term(distiller, student, teacher, rows=(0, 1, 2), queried=None):
    return distiller.compute(
        step(
            Outputs(tf.zeros((3, 2)), {"stride8": tf.cast(student, tf.float32)}),
            Outputs(tf.zeros((3, 2)), {"stride16": tf.cast(teacher, tf.float32)}),
            list(rows),
            queried,
        )
    ).terms["features"]


def naive_features(student, teacher, kernel, bias):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for place in np.ndindex(s.shape[:2]):
            total += np.sum((t[place] - (s[place] @ kernel + bias)) ** 2)
    return total / len(teacher)


def test_features_are_those_of_the_loop():
    distiller, student, teacher = features_case((2, 3, 4), (2, 3, 5))
    (kernel,), (bias,) = distiller.kernels.values(), distiller.biases.values()
    bias.assign(RNG.normal(size=5))
    arrays = kernel.numpy().astype(np.float64), bias.numpy().astype(np.float64)
    found = float(features_term(distiller, student, teacher))
    assert found == pytest.approx(naive_features(student, teacher, *arrays), rel=1e-5)
    assert_gradient(
        lambda s: features_term(distiller, s, teacher),
        lambda s: naive_features(s, teacher, *arrays),
        student,
    )
    groups = distiller.parameter_groups()
    assert [v.shape for v in groups["projections"]] == [(4, 5), (5,)]


def test_a_teacher_s_map_is_resized_to_the_student_s():
    distiller, student, teacher = features_case((2, 3, 4), (4, 6, 4))
    # Projections start as the identity where both maps have as many channels.
    resized = tf.image.resize(teacher, (2, 3), antialias=True).numpy()
    expected = naive_features(student, resized, np.eye(4), np.zeros(4))
    assert float(features_term(distiller, student, teacher)) == pytest.approx(expected, rel=1e-4)


def test_features_of_rows_that_the_teacher_was_not_queried_about_count_as_0():
    distiller, student, teacher = features_case((2, 3, 4), (2, 3, 4))
    one = naive_features(student[1:2], teacher[1:2], np.eye(4), np.zeros(4))
    found = features_term(distiller, student, teacher, rows=(1, 2), queried=[True, True, False])
    assert float(found) == pytest.approx(one / 2, rel=1e-5)


# -- Relations ------------------------------------------------------------------------------------


def huber(x):
    return 0.5 * x * x if abs(x) <= 1 else abs(x) - 0.5


def naive_distance(student, teacher, rows):
    n = len(student)
    psi = []
    for x in (teacher, student):
        d = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
        psi.append(d / (d.sum() / (n * (n - 1))))
    return np.mean(
        [np.mean([huber(psi[0][i, j] - psi[1][i, j]) for j in range(n) if j != i]) for i in rows]
    )


def naive_angle(student, teacher, rows):
    def cosine(x, i, j, k):
        a, b = x[j] - x[i], x[k] - x[i]
        return 0.0 if j == i or k == i else a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    n = len(student)
    return np.mean(
        [
            huber(cosine(teacher, i, j, k) - cosine(student, i, j, k))
            for i in rows
            for j, k in itertools.product(range(n), repeat=2)
        ]
    )


def naive_similarity(student, teacher, rows):
    matrices = []
    for x in (teacher, student):
        g = x @ x.T
        matrices.append(g / np.linalg.norm(g, axis=1, keepdims=True))
    difference = matrices[0] - matrices[1]
    return np.mean([np.mean(difference[i] ** 2) for i in rows])


NAIVE = {
    "distance": naive_distance,
    "angle": naive_angle,
    "distance_angle": lambda *a: naive_distance(*a) + 2 * naive_angle(*a),
    "similarity": naive_similarity,
}


def relation_term(relation, student, teacher, rows):
    batch = step(Outputs(tf.cast(student, tf.float32)), Outputs(tf.cast(teacher, tf.float32)), rows)
    return RelationalDistiller(relation).compute(batch).terms["relational"]


@pytest.mark.parametrize("relation", RELATIONS)
def test_relations_are_those_of_the_loop(relation):
    student, teacher = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 4))
    for rows in (range(5), [0, 3], [1, 1, 4]):
        found = float(relation_term(relation, student, teacher, list(rows)))
        assert found == pytest.approx(NAIVE[relation](student, teacher, rows), rel=1e-4)
    assert_gradient(
        lambda s: relation_term(relation, s, teacher, list(range(5))),
        lambda s: NAIVE[relation](s, teacher, range(5)),
        student,
    )


@pytest.mark.parametrize("relation", RELATIONS)
def test_two_equal_embeddings_have_a_finite_gradient(relation):
    student, teacher = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
    student[1] = student[0]
    variable = tf.Variable(student, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = relation_term(relation, variable, teacher, list(range(4)))
    assert np.isfinite(tf.convert_to_tensor(tape.gradient(loss, variable))).all()


# -- A student that is its teacher ----------------------------------------------------------------


def test_a_student_that_is_its_teacher_has_no_loss():
    embedding = RNG.normal(size=(4, 3)).astype(np.float32)
    for relation in RELATIONS:
        assert float(relation_term(relation, embedding, embedding, list(range(4)))) < 1e-9
    logits = tf.constant(RNG.normal(size=(4, 6)), tf.float32)
    outputs = Outputs(tf.constant(embedding), None, logits)
    found = SoftLabelsDistiller(4.0).compute(step(outputs, outputs, list(range(4))))
    assert float(found.terms["soft_labels"]) == pytest.approx(0.0, abs=1e-5)
    distiller, student, _ = features_case((2, 3, 4), (2, 3, 4))
    assert float(features_term(distiller, student, student)) == 0.0
