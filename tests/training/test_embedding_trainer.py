import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.objectives.contrastive_objective import ContrastiveObjective
from iris_tf.objectives.cosine_distiller import CosineDistiller
from iris_tf.objectives.distilled_objective import DistilledObjective
from iris_tf.objectives.gradient_norm_weights import GradientNormWeights
from iris_tf.objectives.objective import Losses, Objective, Outputs, StepBatch
from iris_tf.objectives.term_weights import (
    ConstantWeights,
    ScheduledWeight,
    ScheduledWeights,
    TermWeights,
)
from iris_tf.objectives.triplet_indices import triplet_indices
from iris_tf.objectives.triplet_objective import TripletObjective
from iris_tf.training.embedding_trainer import EmbeddingTrainer
from iris_tf.training.input_pipeline import TeacherView
from iris_tf.training.teacher import Teacher

PIXELS, SIZE, SEED, STEP = (3, 4), 5, 11, 6
# A right ratio over 1 lets negatives into the band whose loss is 0.
MARGIN, LEFT, RIGHT = 0.45, 0.8, 1.6


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def linear_student(kernel):
    """Crops to unit vectors by one matrix, so that NumPy can follow in double precision."""
    roi = keras.Input((*PIXELS, 1), name="roi")
    x = keras.layers.Flatten()(roi)
    x = keras.layers.Dense(kernel.shape[1], use_bias=False, name="head_linear")(x)
    student = keras.Model(roi, keras.layers.UnitNormalization(name="head_unit")(x))
    student.get_layer("head_linear").set_weights([kernel])
    return student


def triplet_objective(layout="triplet", hardest=5, reduction="mean", seed=SEED):
    values = {"margin": MARGIN, "ratio_left": LEFT, "ratio_right": RIGHT}
    schedules = {name: lambda epoch, value=value: value for name, value in values.items()}
    return TripletObjective(layout, hardest, reduction, seed, schedules)


def make_trainer(kernel, objective, alpha=0.0, teacher=None, optimizer=None):
    """A trainer of a linear student, in its first epoch; alpha weights what a teacher says."""
    if teacher is not None:
        objective = DistilledObjective(objective, CosineDistiller())
    weights = ConstantWeights({"distillation": alpha})
    trainer = EmbeddingTrainer(linear_student(kernel), objective, weights, teacher)
    trainer.compile(optimizer or keras.optimizers.SGD(1.0))
    trainer.begin_epoch(0)
    trainer.step.assign(STEP)
    return trainer


def random_case(layout, groups=6, group_size=3, seed=14):
    """Images, labels, student's and teacher's matrix."""
    rng = np.random.default_rng(seed)
    if layout == "triplet":
        # Few identities: several groups share one, and a negative may be another's anchor.
        anchors = rng.integers(0, 4, groups)
        others = (anchors + rng.integers(1, 4, groups)) % 4
        labels = np.stack([anchors, anchors, others], axis=1)
    else:
        labels = np.repeat(np.arange(groups)[:, None], group_size, axis=1)
    # Images of one identity are alike, but not so alike that every triplet is easy.
    eyes = rng.uniform(0, 180, (max(groups, 4), *PIXELS, 1))
    images = (eyes[labels] + rng.uniform(0, 75, (*labels.shape, *PIXELS, 1))).astype(np.float32)
    kernel, teacher = rng.normal(size=(2, np.prod(PIXELS), SIZE)).astype(np.float32)
    return images, labels.astype(np.int32), kernel, teacher


def naive_triplets(layout, groups, group_size):
    triplets = []
    for g in range(groups):
        first = g * group_size
        if layout == "triplet":
            triplets.append((first, first + 1, first + 2))
            continue
        for i in range(group_size):
            for j in range(group_size):
                if i != j:
                    triplets.append((first + i, first + j, (g + 1) % groups * group_size))
    return triplets


def naive_negatives(vectors, labels, triplets, keys, hardest):
    """Eq. 6 by loops: the qualifying negative of the largest key, and whether in the band."""
    chosen = []
    for row, (a, p, _) in enumerate(triplets):
        d_ap = np.linalg.norm(vectors[a] - vectors[p])
        negatives = [
            (np.linalg.norm(vectors[a] - vectors[n]), n)
            for n in range(len(labels))
            if labels[n] != labels[a]
        ]
        band = [n for d, n in negatives if d_ap + LEFT * MARGIN < d < d_ap + RIGHT * MARGIN]
        among = band or [n for _, n in sorted(negatives)[:hardest]]
        chosen.append((max(among, key=lambda n: keys[row, n]), bool(band)))
    return chosen


def naive_loss(kernel, images, labels, triplets, negatives, reduction, teacher=None, alpha=0.0):
    """Eqs. 3 and 7 for given negatives, by loops."""
    flat = images.reshape(-1, np.prod(PIXELS)).astype(np.float64)
    vectors = unit(flat @ kernel)
    losses, distances = [], []
    for (a, p, _), (n, _) in zip(triplets, negatives, strict=True):
        d_ap = np.linalg.norm(vectors[a] - vectors[p])
        d_an = np.linalg.norm(vectors[a] - vectors[n])
        losses.append(max(d_ap - d_an + MARGIN, 0.0))
        if teacher is not None:
            taught = unit(flat @ teacher)
            distances.append(sum(1 - vectors[x] @ taught[x] for x in (a, p, n)))
    counted = [loss for loss in losses if loss > 0] if reduction == "active" else losses
    triplet = sum(counted) / max(len(counted), 1)
    distillation = alpha / 3 * np.mean(distances) if teacher is not None else 0.0
    return triplet, distillation, losses


def naive_case(layout, images, labels, kernel, hardest=5):
    groups, size = labels.shape
    triplets = naive_triplets(layout, groups, size)
    keys = tf.random.stateless_uniform((len(triplets), labels.size), seed=[SEED, STEP]).numpy()
    vectors = unit(images.reshape(labels.size, -1).astype(np.float64) @ kernel)
    return triplets, naive_negatives(vectors, labels.ravel(), triplets, keys, hardest), vectors


class Counted(keras.layers.Layer):
    """Notes each call."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def call(self, x):
        tf.numpy_function(self.note, [1], [])
        return x


def teach_by(matrix, calls=None):
    model = linear_student(matrix)
    if calls is not None:
        model = keras.Model(model.input, Counted(calls.append)(model.output))
    return Teacher(model)


# -- Which triplets a batch holds -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "groups", "size"), [("triplet", 5, 3), ("balanced", 3, 4), ("balanced", 2, 2)]
)
def test_triplets_are_those_of_the_loop(layout, groups, size):
    found = triplet_indices(layout, groups, size)
    assert list(zip(*found, strict=True)) == naive_triplets(layout, groups, size)
    assert all(index.dtype == np.int32 for index in found)


# -- One step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "active"])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.3])
@pytest.mark.parametrize(("layout", "groups", "size"), [("triplet", 8, 3), ("balanced", 4, 3)])
def test_a_step_is_that_of_the_loops(layout, groups, size, alpha, reduction):
    images, labels, kernel, teacher = random_case(layout, groups, size)
    used = None if alpha is None else teacher
    trainer = make_trainer(
        kernel,
        triplet_objective(layout, reduction=reduction),
        alpha or 0.0,
        None if used is None else teach_by(teacher),
    )
    triplets, negatives, vectors = naive_case(layout, images, labels, kernel)
    in_band = [band for _, band in negatives]
    assert any(in_band)
    assert not all(in_band)  # the case has both

    def loss_at(matrix):
        return naive_loss(
            matrix, images, labels, triplets, negatives, reduction, used, alpha or 0.0
        )

    logs = {name: float(value) for name, value in trainer.train_step((images, labels)).items()}
    triplet, distillation, losses = loss_at(kernel.astype(np.float64))
    assert 0 < sum(loss > 0 for loss in losses) < len(losses)
    assert logs["triplet_loss"] == pytest.approx(triplet, abs=1e-5)
    assert logs["loss"] == pytest.approx(triplet + distillation, abs=1e-5)
    assert logs["active_share"] == pytest.approx(np.mean([loss > 0 for loss in losses]))
    assert logs["fallback_share"] == pytest.approx(1 - np.mean(in_band))
    d_an = [
        np.linalg.norm(vectors[a] - vectors[n])
        for (a, _, _), (n, _) in zip(triplets, negatives, strict=True)
    ]
    assert logs["negative_distance"] == pytest.approx(np.mean(d_an), abs=1e-5)
    if alpha:
        assert logs["distillation_loss"] == pytest.approx(distillation, abs=1e-5)
        assert logs["teacher_distance"] == pytest.approx(distillation / alpha, abs=1e-5)

    # SGD of rate 1 takes one gradient off: compare it with differences of the naive loss.
    gradient, h = np.zeros_like(kernel, np.float64), 1e-6
    for place in np.ndindex(kernel.shape):
        step = np.zeros_like(gradient)
        step[place] = h
        high, low = (sum(loss_at(kernel + sign * step)[:2]) for sign in (1, -1))
        gradient[place] = (high - low) / (2 * h)
    assert np.abs(gradient).max() > 1e-3
    moved = kernel - trainer.student.get_layer("head_linear").get_weights()[0]
    np.testing.assert_allclose(moved, gradient, atol=2e-5)


@pytest.mark.parametrize(
    ("alpha", "clean", "hidden"),
    [(None, False, ()), (0.3, False, ()), (0.3, True, ()), (0.3, True, (0, 3, 7))],
)
def test_a_contrastive_step_is_that_of_the_loops(alpha, clean, hidden):
    groups, size, temperature = 5, 2, 0.25
    images, labels, kernel, teacher = random_case("balanced", groups, size)
    taught_by = None if alpha is None else teach_by(teacher)
    trainer = make_trainer(kernel, ContrastiveObjective(temperature), alpha or 0.0, taught_by)
    flat, known = images.reshape(labels.size, -1).astype(np.float64), labels.ravel()
    # Others for the teacher, where it is to see the images as they were before augmentation.
    shown = random_case("balanced", groups, size, seed=15)[0] if clean else images
    # The teacher is not queried about some, whose distance is then 0.
    queried = ~np.isin(np.arange(labels.size), hidden)
    view = TeacherView(shown, queried.reshape(labels.shape))
    data = (images, labels, view) if clean else (images, labels)

    def parts(matrix):
        vectors, losses = unit(flat @ matrix), []
        for i in range(labels.size):
            (p,) = (j for j in range(labels.size) if j != i and known[j] == known[i])
            scores = [
                np.exp(vectors[i] @ vectors[n] / temperature)
                for n in range(labels.size)
                if known[n] != known[i]
            ]
            hit = np.exp(vectors[i] @ vectors[p] / temperature)
            losses.append(-np.log(hit / (hit + sum(scores))))
        taught = unit(shown.reshape(labels.size, -1)[queried].astype(np.float64) @ teacher)
        away = np.sum(1 - np.sum(vectors[queried] * taught, axis=1)) / labels.size
        return np.mean(losses), (alpha or 0.0) * away, vectors

    logs = {name: float(value) for name, value in trainer.train_step(data).items()}
    contrast, distillation, vectors = parts(kernel.astype(np.float64))
    assert logs["contrastive_loss"] == pytest.approx(contrast, abs=1e-5)
    assert logs["loss"] == pytest.approx(contrast + distillation, abs=1e-5)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    matched = np.mean(known[similarity.argmax(axis=1)] == known)
    assert logs["matched_share"] == pytest.approx(matched)

    gradient, h = np.zeros_like(kernel, np.float64), 1e-6
    for place in np.ndindex(kernel.shape):
        step = np.zeros_like(gradient)
        step[place] = h
        gradient[place] = (sum(parts(kernel + step)[:2]) - sum(parts(kernel - step)[:2])) / (2 * h)
    moved = kernel - trainer.student.get_layer("head_linear").get_weights()[0]
    np.testing.assert_allclose(moved, gradient, atol=2e-5)


def mined(objective, vectors, labels, step=STEP):
    """Negatives that an objective mines among unit vectors, and which of them lie in the band."""
    objective.begin_epoch(0)
    embeddings = tf.constant(vectors, tf.float32)
    groups, size = labels.shape
    rows = tf.range(labels.size)
    batch = StepBatch(
        Outputs(embeddings), None, tf.constant(labels.ravel()), tf.ones(labels.size, tf.bool),
        tf.constant(True), rows, groups, size, tf.constant(step), 0,
    )  # fmt: skip
    anchor, positive, _ = triplet_indices(objective.layout, groups, size)
    return [found.numpy() for found in objective.mine(batch, anchor, positive)]


@pytest.mark.parametrize("hardest", [1, 3])
def test_the_fallback_takes_one_of_the_hardest(hardest):
    images, labels, kernel, _ = random_case("triplet", groups=8, seed=3)
    # Nothing lies in so thin a band.
    thin = {"margin": lambda _: 1e-6, "ratio_left": lambda _: LEFT, "ratio_right": lambda _: RIGHT}
    objective = TripletObjective("triplet", hardest, "mean", SEED, thin)
    triplets, _, vectors = naive_case("triplet", images, labels, kernel)
    flat = labels.ravel()
    seen = set()
    for step in range(20):
        found, in_band = mined(objective, vectors, labels, step)
        assert not np.any(in_band)
        for (a, _, _), n in zip(triplets, found, strict=True):
            order = sorted(
                (np.linalg.norm(vectors[a] - vectors[j]), j)
                for j in range(len(flat))
                if flat[j] != flat[a]
            )
            hardest_of_a = [j for _, j in order[:hardest]]
            assert n in hardest_of_a
            seen.add(hardest_of_a.index(n))
    assert seen == set(range(hardest))


def test_the_choice_changes_with_step_and_seed():
    images, labels, kernel, _ = random_case("triplet", groups=8)
    _, _, vectors = naive_case("triplet", images, labels, kernel)

    def chosen(seed=SEED, step=STEP):
        return mined(triplet_objective(seed=seed), vectors, labels, step)[0].tolist()

    first = chosen()
    assert chosen() == first
    assert chosen(seed=SEED + 1) != first
    assert chosen(step=STEP + 1) != first


def test_steps_are_counted():
    images, labels, kernel, _ = random_case("triplet")
    trainer = make_trainer(kernel, triplet_objective())
    trainer.step.assign(0)
    for _ in range(3):
        trainer.train_step((images, labels))
    assert int(trainer.step.value) == 3


def test_training_pulls_eyes_apart():
    rng = np.random.default_rng(0)
    eyes = rng.integers(0, 8, (200, 3))
    eyes[:, 1], eyes[:, 2] = eyes[:, 0], (eyes[:, 0] + rng.integers(1, 8, 200)) % 8
    # Half of the pixels tell the eye, half are noise that is twice as strong.
    told = np.zeros((8, *PIXELS, 1))
    told[:, :, :2] = rng.uniform(-1, 1, (8, 3, 2, 1))
    noise = np.zeros((200, 3, *PIXELS, 1))
    noise[..., 2:, :] = rng.uniform(-2, 2, (200, 3, 3, 2, 1))
    images = (told[eyes] + noise).astype(np.float32)
    kernel = rng.normal(size=(np.prod(PIXELS), SIZE)).astype(np.float32)
    trainer = make_trainer(kernel, triplet_objective(), optimizer=keras.optimizers.Adam(0.02))
    trainer.objective.scheduled["ratio_left"].assign(0.0)
    trainer.objective.scheduled["ratio_right"].assign(1.0)

    def error():
        rows = [
            ManifestRow(str(i), "set", str(eye), "L", str(eye), str(i))
            for i, eye in enumerate(eyes[:, 0])
        ]
        embeddings = np.asarray(trainer.student(images[:, 0]))
        return evaluate_embeddings(embeddings, rows, resamples=0, matcher=Matcher()).metrics.eer

    before = error()
    data = tf.data.Dataset.from_tensor_slices((images, eyes.astype(np.int32)))
    trainer.fit(data.batch(20, drop_remainder=True).repeat(30))
    assert before > 0.3
    assert error() < 0.1, error()


# -- The teacher ----------------------------------------------------------------------------------


def test_the_teacher_is_not_asked_while_alpha_is_0():
    images, labels, kernel, teacher = random_case("triplet")
    calls = []
    objective = DistilledObjective(triplet_objective(), CosineDistiller())
    alpha = ScheduledWeight("distillation", "distill_weight", lambda epoch: 0.1 * epoch)
    trainer = EmbeddingTrainer(
        linear_student(kernel), objective, ScheduledWeights(alpha), teach_by(teacher, calls)
    )
    trainer.compile(keras.optimizers.SGD(1.0))
    trainer.begin_epoch(0)
    data = tf.data.Dataset.from_tensors((images, labels)).repeat(2)
    history = trainer.fit(data).history
    assert not calls
    assert np.isnan(history["teacher_distance"])
    assert history["distillation_loss"] == [0.0]
    trainer.begin_epoch(1)  # the compiled step reads the weight again
    history = trainer.fit(data).history
    assert len(calls) == 2
    assert history["teacher_distance"][0] > 0


def test_the_teacher_is_neither_trained_nor_saved(tmp_path):
    images, labels, kernel, _ = random_case("triplet")
    keras.utils.set_random_seed(3)
    roi = keras.Input((*PIXELS, 1))
    x = keras.layers.Dense(37, activation="relu")(keras.layers.Flatten()(roi))
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(SIZE)(x)
    teacher = keras.Model(roi, keras.layers.UnitNormalization()(x))
    before = teacher.get_weights()
    trainer = make_trainer(kernel, triplet_objective(), 0.5, Teacher(teacher))
    trainer.fit(tf.data.Dataset.from_tensors((images, labels)).repeat(3))
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not {id(v) for v in teacher.variables} & {id(v) for v in trainer.variables}
    assert [v.path for v in trainer.trainable_variables] == ["head_linear/kernel"]

    trainer.save_state(tmp_path / "trainer.npz")
    with np.load(tmp_path / "trainer.npz") as stored:
        shapes = [stored[name].shape for name in stored.files]
    assert kernel.shape in shapes
    assert not any(37 in shape for shape in shapes)


def test_the_state_brings_back_student_optimiser_and_step(tmp_path):
    images, labels, kernel, _ = random_case("triplet")
    data = tf.data.Dataset.from_tensors((images, labels)).repeat(3)

    def fresh():
        trainer = make_trainer(kernel, triplet_objective(), optimizer=keras.optimizers.AdamW(0.01))
        trainer.step.assign(0)
        return trainer

    straight = fresh()
    straight.fit(data)
    straight.save_state(tmp_path / "trainer.npz")
    straight.fit(data)

    resumed = fresh()
    resumed.load_state(tmp_path / "trainer.npz")
    assert int(resumed.step.value) == 3
    resumed.fit(data)
    for one, two in zip(straight.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# -- What an objective may bring along ------------------------------------------------------------


class Centres(Objective):
    """Pulls each embedding to its identity's centre, which is trained too."""

    term_names = ("pull", "size")

    def __init__(self, identities):
        super().__init__({}, name="centres")
        self.centres = self.add_weight(name="centres", shape=(identities, SIZE))

    def compute(self, batch):
        own = tf.gather(batch.student.embedding, batch.rows)
        centres = tf.gather(self.centres.value, tf.gather(batch.labels, batch.rows))
        pull = tf.reduce_mean(tf.reduce_sum((own - centres) ** 2, axis=1))
        return Losses({"pull": pull, "size": tf.reduce_sum(self.centres**2)}, {}, batch.rows)

    def parameter_groups(self):
        return {"centres": [self.centres]}


def test_an_objective_s_own_variables_are_trained_and_saved(tmp_path):
    images, labels, kernel, _ = random_case("triplet")
    data = tf.data.Dataset.from_tensors((images, labels)).repeat(2)

    def fresh():
        # Four identities, with any start: the state is to bring their centres back.
        return make_trainer(kernel, Centres(4), optimizer=keras.optimizers.AdamW(0.01))

    trainer = fresh()
    start = trainer.objective.centres.numpy()
    history = trainer.fit(data).history
    assert set(history) == {"loss", "pull_loss", "size_loss"}
    assert np.abs(trainer.objective.centres.numpy() - start).min() > 0
    trainer.save_state(tmp_path / "trainer.npz")
    resumed = fresh()
    resumed.load_state(tmp_path / "trainer.npz")
    for each in (trainer, resumed):
        each.fit(data)
    np.testing.assert_array_equal(
        trainer.objective.centres.numpy(), resumed.objective.centres.numpy()
    )
    trainer.student.save(tmp_path / "student.keras")
    student = keras.models.load_model(tmp_path / "student.keras", compile=False)
    assert [v.path for v in student.variables] == ["head_linear/kernel"]


class InverseNorms(TermWeights):
    """Divides each term by the norm of its gradient."""

    reads_gradients = True

    def __init__(self):
        super().__init__({}, name="inverse_norms")

    def active(self, terms):
        return tf.constant(True)

    def weigh(self, terms, gradient_norm):
        return {name: term / gradient_norm(term) for name, term in terms.items()}


def test_weights_can_read_the_norms_of_gradients_in_a_step():
    images, labels, kernel, _ = random_case("triplet")
    objective = Centres(4)
    trainer = EmbeddingTrainer(linear_student(kernel), objective, InverseNorms())
    trainer.compile(keras.optimizers.SGD(1.0))
    centres = objective.centres.numpy().astype(np.float64)
    logs = {name: float(value) for name, value in trainer.train_step((images, labels)).items()}
    # The second term is c squared, whose gradient 2c is twice as long as all centres together.
    expected = np.sum(centres**2) / (2 * np.linalg.norm(centres))
    assert logs["size_loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["loss"] == pytest.approx(logs["pull_loss"] + logs["size_loss"], rel=1e-5)

    # Along both terms' unit gradients: the centres move by the second one's, and by the first's.
    def pull(kernel, centres):
        vectors = unit(images.reshape(labels.size, -1).astype(np.float64) @ kernel)
        return np.mean(np.sum((vectors - centres[labels.ravel()]) ** 2, axis=1))

    gradients, h = [], 1e-6
    for which, array in enumerate((kernel.astype(np.float64), centres)):
        gradient = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            step = np.zeros_like(array)
            step[place] = h
            high, low = (
                pull(
                    *(kernel + sign * step, centres)
                    if which == 0
                    else (kernel, centres + sign * step)
                )
                for sign in (1, -1)
            )
            gradient[place] = (high - low) / (2 * h)
        gradients.append(gradient)
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
    moved = kernel - trainer.student.get_layer("head_linear").get_weights()[0]
    np.testing.assert_allclose(moved, gradients[0] / norm, atol=1e-4)
    moved = centres - objective.centres.numpy()
    expected = gradients[1] / norm + centres / np.linalg.norm(centres)
    np.testing.assert_allclose(moved, expected, atol=1e-4)


class LineAndCentres(Objective):
    """Terms of one coordinate e and its class centre c, both of which get a gradient."""

    term_names = ("pull", "product")

    def __init__(self):
        super().__init__({}, name="line_and_centres")
        self.centres = self.add_weight(name="centres", shape=(2,))
        self.centres.assign([1.0, 3.0])

    def compute(self, batch):
        own, centres = batch.student.embedding[:, 0], tf.gather(self.centres.value, batch.labels)
        pull, product = tf.reduce_sum((own - centres) ** 2), tf.reduce_sum(own * centres)
        return Losses({"pull": pull, "product": product}, {}, batch.rows)

    def parameter_groups(self):
        return {"centres": [self.centres]}


class NotedNorms(GradientNormWeights):
    """Notes the norms of both kinds that it can ask for."""

    def weigh(self, terms, gradient_norm):
        self.noted = {
            name: [float(gradient_norm(term, only)) for only in (True, False)]
            for name, term in terms.items()
        }
        return super().weigh(terms, gradient_norm)


def test_the_student_s_gradient_norms_leave_out_the_centres():
    # e = 4 x + 2 for x = 0 and 1, of centres 1 and 3.
    roi = keras.Input((1, 1, 1))
    student = keras.Model(roi, keras.layers.Dense(1)(keras.layers.Flatten()(roi)))
    student.set_weights([np.array([[4.0]]), np.array([2.0])])
    objective, weights = LineAndCentres(), NotedNorms(("pull", "product"))
    trainer = EmbeddingTrainer(student, objective, weights)
    trainer.compile(keras.optimizers.SGD(1.0))
    images = np.array([0, 1], np.float32).reshape(1, 2, 1, 1, 1)
    logs = trainer.train_step((images, np.array([[0, 1]], np.int32)))
    # e = 2 and 6, e - c = 1 and 3. By slope and offset, sum (e - c)^2 has the gradient
    # 2 (0 1 + 1 3, 1 + 3) = (6, 8), and sum e c has (0 1 + 1 3, 1 + 3) = (3, 4).
    # By the centres they have -2 (e - c) = (-2, -6) and e = (2, 6).
    assert weights.noted["pull"] == pytest.approx([10, np.sqrt(100 + 40)])
    assert weights.noted["product"] == pytest.approx([5, np.sqrt(25 + 40)])
    # Inverse to 10 and 5; the terms are 1 + 9 and 2 1 + 6 3.
    assert float(logs["weight_pull"]) == pytest.approx(1 / 3)
    assert float(logs["pull_loss"]) == pytest.approx(10 / 3)
    assert float(logs["product_loss"]) == pytest.approx(40 / 3)
    # The step goes along the weighted sum of the gradients, also in the centres.
    np.testing.assert_allclose(student.get_weights()[0], [[4 - 4]], atol=1e-5)
    np.testing.assert_allclose(student.get_weights()[1], [2 - 16 / 3], rtol=1e-5)
    np.testing.assert_allclose(objective.centres.numpy(), [1 - 2 / 3, 3 - 2], rtol=1e-5)


class HalfPrecisionTerms(Objective):
    """Two terms whose gradients pass through float16, where 1e-8 is 0."""

    term_names = ("one", "two")

    def compute(self, batch):
        half = tf.cast(tf.cast(batch.student.embedding, tf.float16), tf.float32)
        total = tf.reduce_sum(half[:, 0])
        return Losses({"one": 1e-8 * total, "two": 4e-8 * total}, {}, batch.rows)


def test_gradient_norms_survive_float16_by_the_scale_of_the_loss():
    weights = GradientNormWeights(("one", "two"))
    student = linear_student(np.random.default_rng(3).normal(size=(12, SIZE)).astype(np.float32))
    trainer = EmbeddingTrainer(student, HalfPrecisionTerms({}), weights)
    trainer.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)))
    trainer.begin_epoch(0)
    images = np.random.default_rng(4).normal(size=(2, 3, *PIXELS, 1)).astype(np.float32)
    trainer.train_step((tf.constant(images), tf.zeros((2, 3), tf.int32)))
    # Inverse to norms of 1 to 4. float16 has 3 digits.
    found = [float(value) for value in weights.measured().values()]
    np.testing.assert_allclose(found, [0.8, 0.2], rtol=0.02)
