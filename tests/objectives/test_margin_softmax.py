import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.classifier_objectives import ArcFaceObjective
from iris_tf.objectives.margin_softmax import (
    arcface_cosine,
    cosface_cosine,
    margin_softmax_loss,
    softmax_cosine,
)
from iris_tf.objectives.objective import ModelShapes, Outputs, StepBatch

M, S = 0.5, 16.0


def naive_arcface(theta, margin=M):
    """By the angle, with the fallback of InsightFace beyond pi - m."""
    if theta <= np.pi - margin:
        return np.cos(theta + margin)
    return np.cos(theta) - margin * np.sin(margin)


ANGLES = (0.0, 1e-4, 0.01, 0.3, 1.5, np.pi - M - 1e-3, np.pi - M + 1e-3, 3.0, np.pi - 1e-4, np.pi)


@pytest.mark.parametrize("theta", ANGLES)
def test_arcface_is_that_of_the_angle(theta):
    found = float(arcface_cosine(np.float32(np.cos(theta)), M))
    # In float32, 1 - cos^2 cannot tell angles below 3e-4 from 0.
    assert found == pytest.approx(naive_arcface(theta), abs=2e-4)


@pytest.mark.parametrize("theta", ANGLES)
def test_arcface_s_gradient_in_the_plane_of_embedding_and_centre(theta):
    # A vector at this angle to a centre, turned further by phi.
    with tf.GradientTape() as tape:
        phi = tf.constant(theta, tf.float32)
        tape.watch(phi)
        found = arcface_cosine(tf.cos(phi), M)
    gradient = float(tape.gradient(found, phi))
    assert np.isfinite(gradient)
    h = 1e-6
    left, right = naive_arcface(max(theta - h, 0.0)), naive_arcface(min(theta + h, np.pi))
    expected = (right - left) / (2 * h)
    if theta <= 1e-4:
        # At 0 all directions raise the angle alike: no direction is preferred.
        assert abs(gradient) < 1e-3
    elif theta >= np.pi - 1e-4:
        assert gradient == pytest.approx(0.0, abs=1e-3)
    else:
        assert gradient == pytest.approx(expected, abs=5e-3)


def test_cosines_beyond_1_are_rounding_errors():
    np.testing.assert_allclose(
        arcface_cosine([1.0000002, -1.0000002], M), [np.cos(M), -1 - M * np.sin(M)], atol=2e-4
    )


def naive_loss(embeddings, centres, labels, scale, margin, kind):
    losses = []
    for x, y in zip(embeddings, labels, strict=True):
        logits = []
        for j, w in enumerate(centres):
            cosine = x @ w / np.linalg.norm(x) / np.linalg.norm(w)
            if j == y and kind == "arcface":
                cosine = naive_arcface(np.arccos(np.clip(cosine, -1, 1)), margin)
            elif j == y and kind == "cosface":
                cosine -= margin
            logits.append(scale * cosine)
        highest = max(logits)
        losses.append(highest + np.log(np.sum(np.exp(np.array(logits) - highest))) - logits[y])
    return np.array(losses)


KINDS = {"arcface": arcface_cosine, "cosface": cosface_cosine, "softmax": softmax_cosine}


def case():
    rng = np.random.default_rng(1)
    embeddings, centres = rng.normal(size=(8, 5)), rng.normal(size=(4, 5))
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    embeddings[4] = -centres[0]  # at pi
    embeddings[5] = -centres[1] + 0.05 * centres[0]  # beyond pi - m
    return embeddings, centres, labels


def loss_of(embeddings, centres, labels, kind):
    cosines = tf.matmul(
        tf.math.l2_normalize(tf.cast(embeddings, tf.float32), axis=1),
        tf.math.l2_normalize(tf.cast(centres, tf.float32), axis=1),
        transpose_b=True,
    )
    return margin_softmax_loss(cosines, tf.constant(labels, tf.int32), S, M, KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_loss_is_that_of_the_loop(kind, dtype):
    embeddings, centres, labels = case()
    embeddings = embeddings.astype(dtype)
    found = loss_of(embeddings, centres, labels, kind)
    assert found.dtype == tf.float32
    expected = naive_loss(embeddings.astype(np.float64), centres, labels, S, M, kind)
    np.testing.assert_allclose(found, expected, atol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_finite_differences(kind):
    embeddings, centres, labels = case()
    keep = [0, 1, 2, 3, 5, 6, 7]  # at pi itself there is a kink
    embeddings, labels = embeddings[keep], labels[keep]
    variables = [tf.Variable(a, dtype=tf.float32) for a in (embeddings, centres)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loss_of(*variables, labels, kind))
    for which, gradient in enumerate(tape.gradient(loss, variables)):
        array = (embeddings, centres)[which]
        expected, h = np.zeros_like(array), 1e-6
        for place in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = [embeddings.copy(), centres.copy()]
                moved[which][place] += sign * h
                sides.append(naive_loss(*moved, labels, S, M, kind).sum())
            expected[place] = (sides[0] - sides[1]) / (2 * h)
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=5e-3)


def test_at_an_angle_of_0_and_of_pi_gradients_are_finite():
    _, centres, labels = case()
    for embeddings in (centres, -centres):
        variable = tf.Variable(embeddings, dtype=tf.float32)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(loss_of(variable, centres, labels[:4], "arcface"))
        assert np.isfinite(tape.gradient(loss, variable)).all()


def test_many_classes_need_no_one_hot_matrix():
    classes, rows = 100_000, 4
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (rows, classes)).astype(np.float32)
    labels = np.array([0, 7, 99_999, 50_000], np.int32)
    compiled = tf.function(lambda c: margin_softmax_loss(c, labels, S, M, arcface_cosine))
    kinds = {op.type for op in compiled.get_concrete_function(cosines).graph.get_operations()}
    assert "OneHot" not in kinds
    target = np.array([naive_arcface(np.arccos(cosines[i, y])) for i, y in enumerate(labels)])
    logits = S * cosines.astype(np.float64)
    logits[np.arange(rows), labels] = S * target
    expected = np.log(np.exp(logits).sum(axis=1)) - S * target
    np.testing.assert_allclose(compiled(cosines), expected, rtol=1e-4)


def test_a_step_of_many_classes_needs_no_one_hot_matrix_either():
    classes, rows, size = 100_000, 3, 4
    objective = ArcFaceObjective(S, M, seed=0)
    objective.create_variables(ModelShapes(size, tuple(map(str, range(classes)))))
    rng = np.random.default_rng(2)
    embeddings = rng.normal(size=(rows, size))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.array([0, 99_999, 7])

    @tf.function
    def step(x):
        batch = StepBatch(
            Outputs(x), None, tf.constant(labels, tf.int32), tf.ones(rows, tf.bool),
            tf.constant(True), tf.range(rows), 1, rows, tf.constant(0), 0,
        )  # fmt: skip
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = objective.compute(batch).terms["arcface"]
        gradients = tape.gradient(loss, [x, objective.centres.value])
        return loss, *map(tf.convert_to_tensor, gradients)

    x = tf.constant(embeddings, tf.float32)
    operations = step.get_concrete_function(x).graph.get_operations()
    assert "OneHot" not in {operation.type for operation in operations}
    # Nothing is larger than the logits or the centres.
    sizes = [o.shape.num_elements() or 0 for operation in operations for o in operation.outputs]
    assert max(sizes) == max(rows, size) * classes
    loss, of_x, of_centres = step(x)
    centres = objective.centres.numpy().astype(np.float64)

    def naive(x):
        return naive_loss(x, centres, labels, S, M, "arcface").mean()

    assert float(loss) == pytest.approx(naive(embeddings), rel=1e-4)
    assert np.isfinite(of_centres).all()
    # `naive` normalises embeddings, so only differences along the sphere are compared.
    tangent = rng.normal(size=(rows, size))
    tangent -= (tangent * embeddings).sum(axis=1, keepdims=True) * embeddings
    h = 1e-5
    expected = (naive(embeddings + h * tangent) - naive(embeddings - h * tangent)) / (2 * h)
    assert (of_x.numpy() * tangent).sum() == pytest.approx(expected, rel=1e-3)
