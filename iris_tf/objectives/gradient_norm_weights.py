"""Weights of loss terms from the norms of their gradients (AFL-KD)."""

from collections.abc import Iterable, Mapping

import keras
import tensorflow as tf

from iris_tf.objectives.term_weights import GradientNorm, TermWeights

_LEAST_SHARE = 1e-6  # of the largest norm


class GradientNormWeights(TermWeights):
    """Weights inverse to the norm of each term's gradient on the student's parameters.

    With ``order="matched"``, ``w_i`` is proportional to ``1 / g_i``, so that all weighted terms
    pull equally hard; the weights sum to 1. The algorithm printed in the paper gives the norm of
    the second term to the first and vice versa (alpha : beta : gamma = 1/g_KD : 1/g_CE : 1/g_FA,
    with alpha the weight of CE), which looks like a slip; ``order="printed"`` does so.

    All weights are equal before the first step. A term whose norm is below 1e-6 of the largest has
    no gradient, as one of a frozen stage; its weight is 0, where the inverse would give it all
    the weight. Norms that are not finite, as float16 may give, leave the weights as they are.

    Each term needs a backward pass of its own in addition to that of the step.

    Parameters
    ----------
    terms : sequence of str
        Names of all terms; for the printed order, the labels' and the soft labels' come first.
    every : int
        Weights are computed in each `every`-th step, beginning with the first, and kept between.
    smoothing : float
        Share of the former weights in new ones, 0..1 exclusive: an exponential moving average.
    order : {"matched", "printed"}
    """

    reads_gradients = True

    def __init__(
        self, terms: Iterable[str], every: int = 1, smoothing: float = 0.0, order: str = "matched"
    ):
        super().__init__({}, name="gradient_norm_weights")
        self.terms = tuple(terms)
        self.every, self.smoothing = every, smoothing
        self.sources = list(range(len(self.terms)))
        if order == "printed":
            self.sources[:2] = self.sources[1::-1]
        self.weights_now = self.add_weight(
            name="weights",
            shape=(len(self.terms),),
            initializer=keras.initializers.Constant(1.0 / len(self.terms)),
            trainable=False,
            aggregation="only_first_replica",
        )
        self.steps = self.add_weight(
            name="steps", shape=(), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip

    @property
    def saved_variables(self) -> list[keras.Variable]:
        """Weights and step counter."""
        return [self.weights_now, self.steps]

    def measured(self) -> dict[str, tf.Tensor]:
        """The weight of each term under ``weight_<term>``."""
        weights = tf.unstack(tf.convert_to_tensor(self.weights_now), len(self.terms))
        return {f"weight_{name}": w for name, w in zip(self.terms, weights, strict=True)}

    def active(self, terms: Iterable[str]) -> tf.Tensor:
        """Always, if there are any: no weight is 0 for good."""
        return tf.constant(bool(tuple(terms)))

    def weigh(
        self, terms: Mapping[str, tf.Tensor], gradient_norm: GradientNorm
    ) -> dict[str, tf.Tensor]:
        """See `TermWeights`."""

        def renewed() -> tf.Tensor:
            return self._renewed([gradient_norm(terms[name], True) for name in self.terms])

        before = tf.convert_to_tensor(self.weights_now)
        if self.every == 1:
            weights = renewed()
        else:
            due = tf.equal(tf.convert_to_tensor(self.steps) % self.every, 0)
            weights = tf.cond(due, renewed, lambda: before)
        weights = tf.stop_gradient(weights)
        self.weights_now.assign(weights)
        self.steps.assign_add(1)
        return {name: weights[i] * terms[name] for i, name in enumerate(self.terms)}

    def _renewed(self, norms: list[tf.Tensor]) -> tf.Tensor:
        before = tf.convert_to_tensor(self.weights_now)
        sizes = tf.stack([norms[source] for source in self.sources])
        inverse = tf.where(
            sizes > _LEAST_SHARE * tf.reduce_max(sizes), tf.math.reciprocal_no_nan(sizes), 0.0
        )
        inverse /= tf.reduce_sum(inverse)  # not finite without any gradient
        found = self.smoothing * before + (1.0 - self.smoothing) * inverse
        return tf.where(tf.reduce_all(tf.math.is_finite(found)), found, before)
