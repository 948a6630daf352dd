"""Relations to phase codes at their best rotation, against loops."""

import numpy as np
import pytest
import tensorflow as tf

from iris_tf.matching.matcher import Matcher
from iris_tf.objectives.objective import ModelShapes, Outputs, StepBatch
from iris_tf.objectives.relational_distiller import RelationalDistiller
from iris_tf.objectives.rotated_codes import RotatedCodes
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

LAYOUT = PhaseCodeLayout(size=24, columns=12, turns=2)  # two entries of each column
RNG = np.random.default_rng(8)


def units(rows, size):
    x = RNG.normal(size=(rows, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def naive_product(a, b):
    return max(np.roll(a, 2 * columns) @ b for columns in (-2, -1, 0, 1, 2))


def naive_distance(a, b):
    rotated = (np.roll(a, 2 * columns) for columns in (-2, -1, 0, 1, 2))
    return min(np.linalg.norm(x - b) for x in rotated)


def points(codes):
    return RotatedCodes(tf.constant(codes, tf.float32), LAYOUT)


def test_products_and_distances_are_those_of_the_best_rotation():
    codes, rows = units(6, 24), [4, 0]
    found = points(codes).products(tf.constant(rows))
    expected = [[naive_product(codes[i], other) for other in codes] for i in rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found, Matcher(LAYOUT).similarities(codes[rows], codes), atol=1e-6)
    distances = np.sqrt(points(codes).squared_distances())
    expected = [[naive_distance(a, b) for b in codes] for a in codes]
    np.testing.assert_allclose(distances, expected, atol=1e-3)


def test_angles_are_those_of_triangles_with_these_distances():
    codes, rows = units(5, 24), [1, 3]
    found = np.array(points(codes).angles(tf.constant(rows)))
    for row, i in enumerate(rows):
        for j in range(5):
            for k in range(5):
                if i in (j, k):
                    assert found[row, j, k] == 0.0
                    continue
                a, b = naive_distance(codes[i], codes[j]), naive_distance(codes[i], codes[k])
                # The angle at i, from the lengths of all three sides.
                cosine = (a**2 + b**2 - naive_distance(codes[j], codes[k]) ** 2) / (2 * a * b)
                assert found[row, j, k] == pytest.approx(np.clip(cosine, -1, 1), abs=1e-5)


def test_a_rotated_code_is_the_same_point_within_the_range_of_rotations():
    code = units(1, 24)[0]
    found = points([code, np.roll(code, 4), np.roll(code, 6)])
    squared = np.array(found.squared_distances())
    assert squared[0, 1] == pytest.approx(0.0, abs=1e-6)  # two columns
    assert squared[0, 2] > 0.1  # three
    assert np.array(found.angles(tf.constant([0])))[0, 1, 2] == 0.0


def huber(x):
    return 0.5 * x * x if abs(x) <= 1 else abs(x) - 0.5


def relation_term(relation, student, teacher, code):
    size = len(student)
    distiller = RelationalDistiller(relation)
    distiller.create_variables(ModelShapes(student.shape[1], (), teacher_code=code))
    batch = StepBatch(
        Outputs(tf.constant(student, tf.float32)), Outputs(tf.constant(teacher, tf.float32)),
        tf.zeros(size, tf.int32), tf.ones(size, tf.bool), tf.constant(True), tf.range(size),
        1, size, tf.constant(0), 0,
    )  # fmt: skip
    return float(distiller.compute(batch).terms["relational"])


def test_similarities_of_the_student_are_compared_with_those_at_the_best_rotation():
    student, teacher = units(5, 3), units(5, 24)
    rows = []
    for product, x in ((np.dot, student), (naive_product, teacher)):
        gram = np.array([[product(a, b) for b in x] for a in x])
        rows.append(gram / np.linalg.norm(gram, axis=1, keepdims=True))
    expected = np.mean((rows[0] - rows[1]) ** 2)
    assert relation_term("similarity", student, teacher, LAYOUT) == pytest.approx(expected, 1e-4)
    assert relation_term("similarity", student, teacher, None) != pytest.approx(expected, 1e-2)


def test_distances_of_the_student_are_compared_with_those_at_the_best_rotation():
    student, teacher = units(5, 3), units(5, 24)
    relative = []
    for distance, x in ((lambda a, b: np.linalg.norm(a - b), student), (naive_distance, teacher)):
        d = np.array([[distance(a, b) if a is not b else 0.0 for b in x] for a in x])
        relative.append(d / (d.sum() / 20))  # 5 * 4 pairs
    expected = np.sum([huber(x) for x in (relative[0] - relative[1]).flat]) / 20
    found = relation_term("distance", student, teacher, LAYOUT)
    assert found == pytest.approx(expected, rel=1e-3)
