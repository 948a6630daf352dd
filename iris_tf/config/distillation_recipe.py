"""Sections of a training recipe on classes and distillation.

Symbols refer to the MobiIris paper (Huynh et al., 2026) and to AFL-KD (Ibrahimoglu et al., 2025).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from iris_tf.config.checks import Problem, between, length, one_of, positive, under
from iris_tf.config.names import (
    AFL_TERMS,
    DISTILLERS,
    FEATURE_DISTILLERS,
    NORM_ORDERS,
    PHASE_CODE,
    RELATIONS,
    TERM_WEIGHTS,
)


@dataclass
class ClassifierRecipe:
    """Classification of the training identities: arcface, cosface and softmax only."""

    scale: float = 64.0  # s
    margin: float = 0.5  # m; arcface: radians, cosface: of the cosine, softmax: unused

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from positive(scale=self.scale)
        yield from between(0.0, 3.14, margin=self.margin)


@dataclass
class GradientNormRecipe:
    """Weights of terms from the norms of their gradients (AFL-KD)."""

    every: int = 1  # steps from one computation of the weights to the next
    smoothing: float = 0.0  # share of the former weights in new ones
    # matched (each weight is inverse to its own term's norm) | printed (the paper's algorithm, in
    # which the labels and the soft labels are swapped)
    order: str = "matched"

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from positive(every=self.every)
        yield from between(0.0, 0.9999, smoothing=self.smoothing)
        yield from one_of(NORM_ORDERS, order=self.order)


@dataclass
class DistillationRecipe:
    """Distillation from a frozen teacher; by default as in Eqs. 7-9 of the paper."""

    # Run folder, .keras file, pretrained (the released model) or phase_code (of unrolled strips,
    # untrained; relational only); none: no distillation
    teacher: str | None = None
    # cosine | soft_labels | features | relational | hybrid (soft labels, with weight alpha for
    # them and 1 - alpha for the objective) | afl (soft labels and features)
    distiller: str = "cosine"
    temperature: float = 4.0  # T of soft labels
    # Feature maps of the student, each with the teacher's that it is compared with
    features: dict[str, str] = field(default_factory=dict)
    # Of relational: distance | angle | distance_angle | similarity
    relation: str = "distance_angle"
    # constant (alpha from the first step on) | scheduled (0 in warm-up, then from, to) |
    # gradient_norm (all terms by their gradients)
    term_weights: str = "scheduled"
    gradient_norm: GradientNormRecipe = field(default_factory=GradientNormRecipe)
    weight: list[float] = field(default_factory=lambda: [0.0, 0.5])  # alpha from, to
    # afl, constant or scheduled: term (soft_labels | features) -> factor of alpha; else 1
    term_factors: dict[str, float] = field(default_factory=dict)
    # Whether the teacher receives unaugmented crops (the student receives augmented ones)
    clean: bool = False

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        if self.clean and self.teacher is None:
            yield "clean", "needs a `teacher`"
        yield from one_of(DISTILLERS, distiller=self.distiller)
        if self.teacher is None and self.distiller in set(DISTILLERS) - {"cosine"}:
            yield "distiller", f"is {self.distiller}, which needs a `teacher`"
        if self.teacher == PHASE_CODE and self.distiller != "relational":
            yield (
                "distiller",
                f"must be relational with `teacher: {PHASE_CODE}`, whose codes are compared with "
                f"each other only, but is {self.distiller}",
            )
        yield from one_of(TERM_WEIGHTS, term_weights=self.term_weights)
        yield from length(2, weight=self.weight)
        yield from self._factor_problems()
        yield from positive(temperature=self.temperature)
        yield from one_of(RELATIONS, relation=self.relation)
        yield from under("gradient_norm", self.gradient_norm.problems())
        if self.distiller in FEATURE_DISTILLERS and not self.features:
            yield "features", f"must name feature maps with `distiller: {self.distiller}`"
        elif self.features and self.distiller not in FEATURE_DISTILLERS:
            yield "features", f"must be empty with `distiller: {self.distiller}`"
        if self.distiller == "hybrid":
            for value in self.weight:
                yield from between(0.0, 1.0, weight=value)
            if self.term_weights == "gradient_norm":
                yield "term_weights", "must be constant or scheduled with `distiller: hybrid`"
        if self.gradient_norm.order == "printed" and self.distiller not in ("afl", "soft_labels"):
            yield (
                "gradient_norm.order",
                "is printed, which swaps labels and soft labels, and needs `distiller: afl` or "
                f"soft_labels, but that is {self.distiller}",
            )
        if self.term_weights == "gradient_norm" and self.teacher is None:
            yield "term_weights", "is gradient_norm, which needs a `teacher`"
        if self.term_weights == "constant" and len(set(self.weight)) > 1:
            yield "weight", f"must be two equal values with constant weights, but is {self.weight}"
        for value in self.weight:
            yield from between(0.0, 100.0, weight=value)

    def _factor_problems(self) -> Iterator[Problem]:
        """Factors that serve no term."""
        if not self.term_factors:
            return
        if self.distiller != "afl":
            yield (
                "term_factors",
                f"must be empty with `distiller: {self.distiller}`, whose one term `weight` weighs",
            )
        elif self.term_weights == "gradient_norm":
            yield "term_factors", "must be empty with `term_weights: gradient_norm`"
        else:
            for name, value in self.term_factors.items():
                yield from one_of(AFL_TERMS, term_factors=name)
                yield from between(0.0, 1000.0, **{f"term_factors.{name}": value})
