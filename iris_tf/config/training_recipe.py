"""Training recipe: one dataclass per section, with the paper's values as defaults.

Symbols and tables in comments refer to the MobiIris paper (Huynh et al., 2026).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from omegaconf import MISSING

from iris_tf.config.checks import Problem, between, length, one_of, positive, under
from iris_tf.config.distillation_recipe import ClassifierRecipe, DistillationRecipe
from iris_tf.config.names import (
    CLASSIFIERS,
    LAYOUTS_OF_BATCHES,
    LOGIT_DISTILLERS,
    NORMALIZATIONS,
    OBJECTIVES,
    OPTIMIZERS,
    POOLINGS,
    STRATEGIES,
)
from iris_tf.config.quantization_recipe import QuantizationRecipe


@dataclass
class NetworkRecipe:
    """Network architecture, sizes and initial weights."""

    name: str = "mobilenet_v3_large"
    input_size: list[int] = field(default_factory=lambda: [224, 224])  # height, width
    embedding_size: int = 128
    # imagenet | pretrained (the released model) | none | path of a .keras or .weights.h5 file |
    # name of an earlier model of the pipeline
    weights: str = "imagenet"
    attention: list[str] = field(default_factory=list)  # layers followed by spatial attention
    # average | depthwise | placed (unrolled strips) | gdconv (MobileFaceNet's)
    pooling: str = "average"
    batchnorm_momentum: float = 0.99
    normalization: str = "imagenet"  # imagenet | local_contrast (unrolled strips)
    reduction: list[int] = field(default_factory=lambda: [1, 2])  # local_contrast: rows, columns
    # Weight of the phase code in the similarities of exported files, relative to the learned
    # component; 0: no phase code. Needs local_contrast.
    phase: float = 0.0

    @property
    def crop_size(self) -> tuple[int, int]:
        """`input_size` as a tuple."""
        height, width = self.input_size
        return height, width

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from length(2, input_size=self.input_size)
        for size in self.input_size:
            yield from between(32, 1024, input_size=size)
        yield from between(2, 4096, embedding_size=self.embedding_size)
        yield from one_of(POOLINGS, pooling=self.pooling)
        yield from one_of(NORMALIZATIONS, normalization=self.normalization)
        if self.normalization == "local_contrast" and self.weights == "imagenet":
            yield (
                "weights",
                "must not be imagenet with local_contrast, on which they were not trained",
            )
        yield from length(2, reduction=self.reduction)
        for factor in self.reduction:
            yield from between(1, 32, reduction=factor)
        yield from between(0.0, 0.99, phase=self.phase)
        if self.phase and self.normalization != "local_contrast":
            yield "phase", "needs `normalization: local_contrast`, and unrolled strips"
        yield from between(0.0, 0.9999, batchnorm_momentum=self.batchnorm_momentum)

    def strip_settings(self) -> Iterator[str]:
        """Settings in use that require unrolled strips."""
        if self.normalization == "local_contrast":
            yield "normalization: local_contrast"
        if self.pooling == "placed":
            yield "pooling: placed"


@dataclass
class BatchRecipe:
    """Sampling of batches."""

    # triplet (Algorithm 2) | balanced (groups x images_per_identity) | shuffled (every image once
    # an epoch, also of identities with a single one; for objectives that classify)
    layout: str = "triplet"
    groups: int = 32  # triplets, identities or, shuffled, images per batch
    images_per_identity: int = 4  # balanced only
    steps_per_epoch: int | None = None  # none: every image is an anchor once
    datasets: int = 0  # balanced only: number of datasets per batch; 0: no restriction
    # balanced only, unrolled strips: half of the groups are copies of the other half, rotated by a
    # large angle. They count as other identities, which differ only in the positions of details.
    turned: bool = False

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from one_of(LAYOUTS_OF_BATCHES, layout=self.layout)
        yield from between(2, 65536, groups=self.groups)
        yield from between(2, 1024, images_per_identity=self.images_per_identity)
        if self.steps_per_epoch is not None:
            yield from positive(steps_per_epoch=self.steps_per_epoch)
        yield from between(0, self.groups, datasets=self.datasets)
        if self.datasets and self.layout != "balanced":
            yield "datasets", f"must be 0 with `layout: {self.layout}`, which does not use it"
        elif self.datasets and self.drawn % self.datasets:
            half = "half of " if self.turned else ""
            yield "datasets", f"must divide {half}`groups`, which is {self.drawn}"
        if self.turned and (self.layout != "balanced" or self.groups % 2):
            yield "turned", "needs `layout: balanced` and an even number of `groups`"

    def strip_settings(self) -> Iterator[str]:
        """Settings in use that require unrolled strips."""
        if self.turned:
            yield "turned"

    @property
    def drawn(self) -> int:
        """Number of groups that are sampled; the others are rotated copies."""
        return self.groups // 2 if self.turned else self.groups

    @property
    def group_size(self) -> int:
        """Images per group: 3 for a triplet, 1 if shuffled."""
        return {"triplet": 3, "shuffled": 1}.get(self.layout, self.images_per_identity)


@dataclass
class AugmentationRecipe:
    """Random geometry of training crops (defaults: the paper's), and augmentation of strips."""

    rotation_degrees: float = 5.0  # +-
    translation: float = 0.05  # +-, share of the side
    scale: float = 0.05  # +-
    flip_share: float = 0.0  # share of crops mirrored left to right; not of unrolled strips
    colour_jitter: float = 0.0  # +-, relative change of brightness, contrast and saturation
    hidden_share: float = 0.0  # share of unrolled strips with an occluded sector
    hidden_degrees: float = 90.0  # largest width of the sector
    sharpness: float = 0.0  # +-, relative change of two high-frequency bands of strips
    degraded_share: float = 0.0  # share of unrolled strips with blur and noise
    coarse_lost_share: float = 0.0  # share of unrolled strips with attenuated low frequencies

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(0.0, 1.0, hidden_share=self.hidden_share)
        yield from between(0.0, 1.0, sharpness=self.sharpness)
        yield from between(0.0, 360.0, hidden_degrees=self.hidden_degrees)
        yield from between(0.0, 1.0, degraded_share=self.degraded_share)
        yield from between(0.0, 1.0, coarse_lost_share=self.coarse_lost_share)
        yield from between(0.0, 180.0, rotation_degrees=self.rotation_degrees)
        yield from between(0.0, 0.5, translation=self.translation, scale=self.scale)
        yield from between(0.0, 1.0, flip_share=self.flip_share)
        yield from between(0.0, 0.9, colour_jitter=self.colour_jitter)

    def strip_settings(self) -> Iterator[str]:
        """Settings in use that require unrolled strips."""
        for name in ("hidden_share", "sharpness", "degraded_share", "coarse_lost_share"):
            if getattr(self, name) > 0.0:
                yield name


@dataclass
class MarginRecipe:
    """Margin of Eq. 5. The paper only states the range 0.4-0.5; the schedule is ours."""

    warm: float = 0.4  # M_warm
    medi: list[float] = field(default_factory=lambda: [0.4, 0.5])  # M0, M1 of M_medi
    post: list[float] = field(default_factory=lambda: [0.5, 0.4])  # M0, M1 of M_post

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from length(2, medi=self.medi, post=self.post)
        yield from between(0.0, 2.0, warm=self.warm)
        for value in self.medi:
            yield from between(0.0, 2.0, medi=value)
        for value in self.post:
            yield from between(0.0, 2.0, post=value)


@dataclass
class MiningRecipe:
    """Band of Eq. 6 as ratios of the margin, and the fallback."""

    warm_ratios: list[float] = field(default_factory=lambda: [0.2, 1.0])
    final_ratios: list[float] = field(default_factory=lambda: [0.1, 0.9])
    hardest: int = 5  # if the band is empty, draw from this many hardest negatives

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from length(2, warm_ratios=self.warm_ratios, final_ratios=self.final_ratios)
        for key in ("warm_ratios", "final_ratios"):
            ratios = getattr(self, key)
            if len(ratios) == 2 and ratios[0] >= ratios[1]:
                yield key, f"must rise, but is {ratios}"
        yield from positive(hardest=self.hardest)


@dataclass
class ParameterGroupRecipe:
    """Learning rate (Eq. 12) and weight decay of one parameter group."""

    maximum: float = MISSING  # sgd: before the first milestone
    minimum: float = 0.0  # adamw only
    weight_decay: float = MISSING

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from positive(maximum=self.maximum)
        yield from between(0.0, self.maximum, minimum=self.minimum)
        yield from between(0.0, 1.0, weight_decay=self.weight_decay)


@dataclass
class OptimizerRecipe:
    """Optimiser, with separate learning rates per parameter group."""

    name: str = "adamw"  # adamw (Eq. 12) | sgd (momentum and step decay)
    backbone: ParameterGroupRecipe = field(
        default_factory=lambda: ParameterGroupRecipe(5e-4, 1e-5, 1e-4)
    )
    attention: ParameterGroupRecipe = field(
        default_factory=lambda: ParameterGroupRecipe(1e-3, 1e-4, 5e-5)
    )
    head: ParameterGroupRecipe = field(
        default_factory=lambda: ParameterGroupRecipe(5e-3, 5e-4, 5e-5)
    )
    # Parameter groups of the objective, by the objective's names for them
    groups: dict[str, ParameterGroupRecipe] = field(default_factory=dict)
    momentum: float = 0.9  # sgd only
    milestones: list[int] = field(default_factory=list)  # sgd only: epochs after which rates drop
    factor: float = 0.1  # sgd only: factor of the rates at each milestone

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from one_of(OPTIMIZERS, name=self.name)
        for group in ("backbone", "attention", "head"):
            yield from under(group, getattr(self, group).problems())
        for name, own in self.groups.items():
            yield from under(f"groups.{name}", own.problems())
        yield from between(0.0, 0.9999, momentum=self.momentum)
        yield from between(0.0, 1.0, factor=self.factor)
        yield from positive(factor=self.factor)
        if any(a >= b for a, b in pairwise([0, *self.milestones])):
            yield "milestones", f"must rise from above 0, but is {self.milestones}"
        if self.milestones and self.name != "sgd":
            yield "milestones", f"must be empty with `name: {self.name}`, which does not use it"


@dataclass
class TrainRecipe:
    """One training run."""

    run: str = MISSING  # output folder
    dataset: str = MISSING  # folder made by `iris-tf prepare`
    seed: int = 0
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    batch: BatchRecipe = field(default_factory=BatchRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    epochs: int = 40
    warm_epochs: int = 8
    unfreeze_epochs: int = 8  # epochs until the whole backbone is trainable; 0: from the start
    margin: MarginRecipe = field(default_factory=MarginRecipe)
    mining: MiningRecipe = field(default_factory=MiningRecipe)
    # triplet (Eqs. 3-6) | contrastive (all negatives; balanced only) | arcface | cosface | softmax
    objective: str = "triplet"
    temperature: float = 0.0625  # contrastive only
    classifier: ClassifierRecipe = field(default_factory=ClassifierRecipe)
    triplet_reduction: str = "mean"  # mean (Eq. 3) | active (over the nonzero losses)
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    quantization: QuantizationRecipe = field(default_factory=QuantizationRecipe)
    mixed_float16: bool = False
    xla: bool = False
    # single | mirrored (all GPUs found) | multi_worker (all workers of TF_CONFIG)
    strategy: str = "single"

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        for section in (
            "network",
            "batch",
            "augmentation",
            "margin",
            "mining",
            "classifier",
            "distillation",
            "optimizer",
            "quantization",
        ):
            yield from under(section, getattr(self, section).problems())
        yield from positive(epochs=self.epochs)
        yield from between(0, self.epochs, warm_epochs=self.warm_epochs)
        yield from between(0, self.epochs, unfreeze_epochs=self.unfreeze_epochs)
        if self.unfreeze_epochs and self.network.weights == "none":
            yield (
                "unfreeze_epochs",
                "must be 0 with `weights: none`: untrained layers would be frozen",
            )
        yield from between(0, 2**31 - 1, seed=self.seed)
        yield from one_of(OBJECTIVES, objective=self.objective)
        if self.objective == "contrastive" and self.batch.layout != "balanced":
            yield "objective", "is contrastive, which needs `batch.layout: balanced`"
        if self.objective == "triplet" and self.batch.layout == "shuffled":
            yield "batch.layout", "must be triplet or balanced with `objective: triplet`"
        yield from positive(temperature=self.temperature)
        if self.quantization.fine_tuning.milestones and self.optimizer.name != "sgd":
            yield (
                "quantization.fine_tuning.milestones",
                "must be empty without `optimizer.name: sgd`",
            )
        yield from self._distillation_problems()
        yield from one_of(("mean", "active"), triplet_reduction=self.triplet_reduction)
        yield from one_of(STRATEGIES, strategy=self.strategy)
        if self.xla and self.strategy == "multi_worker":
            yield "xla", "must be false with `strategy: multi_worker`"

    def _distillation_problems(self) -> Iterator[Problem]:
        """Settings of distillation that contradict others."""
        distillation = self.distillation
        if distillation.teacher is None:
            return
        if distillation.distiller in LOGIT_DISTILLERS and self.objective not in CLASSIFIERS:
            yield (
                "distillation.distiller",
                f"is {distillation.distiller}, which compares class logits and needs "
                f"`objective: {', '.join(CLASSIFIERS)}`, not {self.objective}",
            )
        if distillation.gradient_norm.every > 1 and self.strategy != "single":
            yield (
                "distillation.gradient_norm.every",
                f"must be 1 with `strategy: {self.strategy}`",
            )

    def strip_settings(self) -> Iterator[str]:
        """Settings in use that require unrolled strips, as dotted keys."""
        for section in ("network", "augmentation", "batch"):
            for setting in getattr(self, section).strip_settings():
                yield f"{section}.{setting}"
