"""What a recipe may say: one dataclass a section, with the paper's values as defaults.

Symbols and tables in comments are those of the MobiIris paper (Huynh et al., 2026).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

Problem = tuple[str, str]  # (key in dots, what is wrong with its value)


def _positive(**values: float) -> Iterator[Problem]:
    for key, value in values.items():
        if not 0 < value < math.inf:  # NaN is not either
            yield key, f"must be above 0, but is {value}"


def _between(low: float, high: float, **values: float) -> Iterator[Problem]:
    for key, value in values.items():
        if not low <= value <= high:
            yield key, f"must lie between {low} and {high}, but is {value}"


def _one_of(choices: tuple[str, ...], **values: str) -> Iterator[Problem]:
    for key, value in values.items():
        if value not in choices:
            yield key, f"must be one of {', '.join(choices)}, but is {value!r}"


def _names(**sections: dict[str, Any]) -> Iterator[Problem]:
    """Each becomes a folder."""
    for key, section in sections.items():
        for name in section:
            if not re.fullmatch(r"[\w-]+", name):
                yield key, f"has {name!r}; a name has letters, digits, - and _"


def _length(count: int, **values: list) -> Iterator[Problem]:
    for key, value in values.items():
        if len(value) != count:
            yield key, f"must be a list of {count} values, but has {len(value)}"


def _under(prefix: str, problems: Iterator[Problem]) -> Iterator[Problem]:
    for key, problem in problems:
        yield f"{prefix}.{key}", problem


@dataclass
class NetworkRecipe:
    """Which network, how large, and from which weights."""

    name: str = "mobilenet_v3_large"
    input_size: list[int] = field(default_factory=lambda: [224, 224])  # height, width
    embedding_size: int = 128
    # imagenet | pretrained (the released model's) | none | path of a .keras or .weights.h5 file |
    # an earlier model of the pipeline
    weights: str = "imagenet"
    attention: list[str] = field(default_factory=list)  # layers followed by spatial attention
    attention_kernel: int = 7  # n of Eq. 1
    # average | depthwise | placed; the last is for unrolled strips
    pooling: str = "average"
    batchnorm_momentum: float = 0.99
    normalization: str = "imagenet"  # imagenet | local_contrast (unrolled strips)
    reduction: list[int] = field(default_factory=lambda: [1, 2])  # local_contrast: rows, columns
    # Weight that the texture's phase has in the similarities of exported files, beside what is
    # learnt; 0: none. Takes local_contrast.
    phase: float = 0.0

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _length(2, input_size=self.input_size)
        for size in self.input_size:
            yield from _between(32, 1024, input_size=size)
        yield from _between(2, 4096, embedding_size=self.embedding_size)
        yield from _one_of(("average", "depthwise", "placed"), pooling=self.pooling)
        yield from _one_of(("imagenet", "local_contrast"), normalization=self.normalization)
        if self.normalization == "local_contrast" and self.weights == "imagenet":
            yield "weights", "must not be imagenet with local_contrast, an input they do not know"
        yield from _length(2, reduction=self.reduction)
        for part in self.reduction:
            yield from _between(1, 32, reduction=part)
        yield from _between(0.0, 0.99, phase=self.phase)
        if self.phase and self.normalization != "local_contrast":
            yield "phase", "needs `normalization: local_contrast`, and unrolled strips"
        yield from _between(0.0, 0.9999, batchnorm_momentum=self.batchnorm_momentum)
        if self.attention_kernel < 1 or self.attention_kernel % 2 == 0:
            yield "attention_kernel", f"must be odd and positive, but is {self.attention_kernel}"


@dataclass
class BatchRecipe:
    """How images are drawn into a batch."""

    layout: str = "triplet"  # triplet (Algorithm 2) | balanced (groups x images_per_identity)
    groups: int = 32  # triplets, or identities, a batch
    images_per_identity: int = 4  # balanced only
    steps_per_epoch: int | None = None  # none: every image is an anchor once
    datasets: int = 0  # balanced only: of how many datasets a batch is; 0: as it comes
    # balanced only, unrolled strips: half of the groups are the other half, turned by a large
    # angle. They count as strangers, which have all in common but where details lie.
    turned: bool = False

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _one_of(("triplet", "balanced"), layout=self.layout)
        yield from _between(2, 65536, groups=self.groups)
        yield from _between(2, 1024, images_per_identity=self.images_per_identity)
        if self.steps_per_epoch is not None:
            yield from _positive(steps_per_epoch=self.steps_per_epoch)
        yield from _between(0, self.groups, datasets=self.datasets)
        if self.datasets and self.layout != "balanced":
            yield "datasets", "must be 0 with `layout: triplet`, which does not use it"
        elif self.datasets and self.drawn % self.datasets:
            half = "half of " if self.turned else ""
            yield "datasets", f"must divide {half}`groups`, which is {self.drawn}"
        if self.turned and (self.layout != "balanced" or self.groups % 2):
            yield "turned", "needs `layout: balanced` and an even number of `groups`"

    @property
    def drawn(self) -> int:
        """Groups that are drawn; the others are these, turned."""
        return self.groups // 2 if self.turned else self.groups

    @property
    def group_size(self) -> int:
        """Images a group: 3 for a triplet."""
        return 3 if self.layout == "triplet" else self.images_per_identity


@dataclass
class AugmentationRecipe:
    """Random geometry of each training crop (the paper's by default), and what hides strips."""

    rotation_degrees: float = 5.0  # +-
    translation: float = 0.05  # +-, share of the side
    scale: float = 0.05  # +-
    hidden_share: float = 0.0  # of unrolled strips, a sector of which is hidden
    hidden_degrees: float = 90.0  # the widest sector
    sharpness: float = 0.0  # +-, share by which two bands of fine detail of strips change
    degraded_share: float = 0.0  # of unrolled strips, blurred and noisy as of a poor camera
    coarse_lost_share: float = 0.0  # of unrolled strips, with fine detail alone or nearly so

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(0.0, 1.0, hidden_share=self.hidden_share)
        yield from _between(0.0, 1.0, sharpness=self.sharpness)
        yield from _between(0.0, 360.0, hidden_degrees=self.hidden_degrees)
        yield from _between(0.0, 1.0, degraded_share=self.degraded_share)
        yield from _between(0.0, 1.0, coarse_lost_share=self.coarse_lost_share)
        yield from _between(0.0, 180.0, rotation_degrees=self.rotation_degrees)
        yield from _between(0.0, 0.5, translation=self.translation, scale=self.scale)


@dataclass
class MarginRecipe:
    """Margin of Eq. 5. The paper gives only the range 0.4-0.5; the course is ours."""

    warm: float = 0.4  # M_warm
    medi: list[float] = field(default_factory=lambda: [0.4, 0.5])  # M0, M1 of M_medi
    post: list[float] = field(default_factory=lambda: [0.5, 0.4])  # M0, M1 of M_post

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _length(2, medi=self.medi, post=self.post)
        yield from _between(0.0, 2.0, warm=self.warm)
        for value in self.medi:
            yield from _between(0.0, 2.0, medi=value)
        for value in self.post:
            yield from _between(0.0, 2.0, post=value)


@dataclass
class MiningRecipe:
    """Band of Eq. 6 as ratios of the margin, and the fallback."""

    warm_ratios: list[float] = field(default_factory=lambda: [0.2, 1.0])
    final_ratios: list[float] = field(default_factory=lambda: [0.1, 0.9])
    hardest: int = 5  # where nothing lies in the band, one of so many hardest

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _length(2, warm_ratios=self.warm_ratios, final_ratios=self.final_ratios)
        for key in ("warm_ratios", "final_ratios"):
            ratios = getattr(self, key)
            if len(ratios) == 2 and ratios[0] >= ratios[1]:
                yield key, f"must rise, but is {ratios}"
        yield from _positive(hardest=self.hardest)


@dataclass
class DistillationRecipe:
    """Cosine distillation of Eqs. 7-9."""

    teacher: str | None = None  # run folder or .keras file; none: no distillation
    weight: list[float] = field(default_factory=lambda: [0.0, 0.5])  # alpha from, to
    # Whether the teacher sees crops as they are, and the student the same ones augmented
    clean: bool = False

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        if self.clean and self.teacher is None:
            yield "clean", "needs a `teacher`, who is to see the crops"
        yield from _length(2, weight=self.weight)
        for value in self.weight:
            yield from _between(0.0, 100.0, weight=value)


@dataclass
class ParameterGroupRecipe:
    """Learning rate (Eq. 12) and weight decay of one parameter group."""

    maximum: float = MISSING
    minimum: float = MISSING
    weight_decay: float = MISSING

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _positive(maximum=self.maximum)
        yield from _between(0.0, self.maximum, minimum=self.minimum)
        yield from _between(0.0, 1.0, weight_decay=self.weight_decay)


@dataclass
class OptimizerRecipe:
    """AdamW in three parameter groups."""

    backbone: ParameterGroupRecipe = field(
        default_factory=lambda: ParameterGroupRecipe(5e-4, 1e-5, 1e-4)
    )
    attention: ParameterGroupRecipe = field(
        default_factory=lambda: ParameterGroupRecipe(1e-3, 1e-4, 5e-5)
    )
    head: ParameterGroupRecipe = field(
        default_factory=lambda: ParameterGroupRecipe(5e-3, 5e-4, 5e-5)
    )

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        for group in ("backbone", "attention", "head"):
            yield from _under(group, getattr(self, group).problems())


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
    unfreeze_epochs: int = 8  # epochs until the whole backbone learns; 0: from the start
    margin: MarginRecipe = field(default_factory=MarginRecipe)
    mining: MiningRecipe = field(default_factory=MiningRecipe)
    loss: str = "triplet"  # triplet (Eqs. 3-6) | contrastive (all of the batch; balanced only)
    temperature: float = 0.0625  # contrastive only
    triplet_reduction: str = "mean"  # mean (Eq. 3) | active (over the non-zero losses)
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    mixed_float16: bool = False
    xla: bool = False
    strategy: str = "single"  # single | mirrored (all GPUs found)

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        for section in (
            "network",
            "batch",
            "augmentation",
            "margin",
            "mining",
            "distillation",
            "optimizer",
        ):
            yield from _under(section, getattr(self, section).problems())
        yield from _positive(epochs=self.epochs)
        yield from _between(0, self.epochs, warm_epochs=self.warm_epochs)
        yield from _between(0, self.epochs, unfreeze_epochs=self.unfreeze_epochs)
        if self.unfreeze_epochs and self.network.weights == "none":
            yield (
                "unfreeze_epochs",
                "must be 0 with `weights: none`: layers that have learnt nothing would be frozen",
            )
        yield from _between(0, 2**31 - 1, seed=self.seed)
        yield from _one_of(("triplet", "contrastive"), loss=self.loss)
        if self.loss == "contrastive" and self.batch.layout != "balanced":
            yield "loss", "is contrastive, which needs `batch.layout: balanced`"
        yield from _positive(temperature=self.temperature)
        yield from _one_of(("mean", "active"), triplet_reduction=self.triplet_reduction)
        yield from _one_of(("single", "mirrored"), strategy=self.strategy)


@dataclass
class SyntheticRecipe:
    """Generated eyes."""

    subjects: int = MISSING
    images: int = MISSING  # an eye

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(3, 1000, subjects=self.subjects)
        yield from _between(2, 100, images=self.images)


@dataclass
class DatasetRecipe:
    """Where the eyes come from and how they are cropped: `synthetic` or `images`, not both."""

    synthetic: SyntheticRecipe | None = None
    images: str | None = None
    layout: str = "auto"
    segmenter: str = "network"
    roi_mode: str = "algorithm1"
    split_by: str = "person"  # person | identity (the paper's)

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        if (self.synthetic is None) == (self.images is None):
            yield "images", "either `images` (a folder) or `synthetic` must be given, not both"
        if self.synthetic is not None:
            yield from _under("synthetic", self.synthetic.problems())
        yield from _one_of(("algorithm1", "aligned", "unrolled"), roi_mode=self.roi_mode)
        yield from _one_of(("person", "identity"), split_by=self.split_by)


@dataclass
class LatencyRecipe:
    """Host latency of the exported files."""

    threads: list[int] = field(default_factory=lambda: [1, 2])
    runs: int = 100

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        for count in self.threads:
            yield from _between(1, 256, threads=count)
        if 1 not in self.threads:
            yield "threads", f"must hold 1, which the result table shows, but is {self.threads}"
        yield from _between(50, 10**6, runs=self.runs)


# What `network.weights` can be besides a file or a model of the same recipe.
NAMED_WEIGHTS = ("none", "imagenet", "pretrained")


def _models_and_precisions(
    models: dict, precisions: list[str], folders: tuple[str, ...]
) -> Iterator[Problem]:
    if not models:
        yield "models", "must name at least one model"
    for name in models:
        # Each gets a folder of its name in the run's folder.
        if name in folders:
            yield "models", f"has {name!r}, the name of another folder of the run; choose another"
        elif name in NAMED_WEIGHTS:
            yield "models", f"has {name!r}, which means something else as `weights`; choose another"
    yield from _names(models=models)
    if not precisions:
        yield "precisions", "must name at least one"
    for precision in precisions:
        yield from _one_of(("float32", "float16", "int8"), precisions=precision)


@dataclass
class PipelineRecipe:
    """All stages from eyes to report; `training` holds what the models share."""

    run: str = MISSING
    seed: int = 0
    dataset: DatasetRecipe = field(default_factory=DatasetRecipe)
    training: dict[str, Any] = field(default_factory=dict)  # keys of `TrainRecipe`
    models: dict[str, Any] = MISSING  # name -> keys of `TrainRecipe` that differ
    precisions: list[str] = field(default_factory=lambda: ["float32", "float16"])
    latency: LatencyRecipe = field(default_factory=LatencyRecipe)

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(0, 2**31 - 1, seed=self.seed)
        yield from _under("dataset", self.dataset.problems())
        yield from _under("latency", self.latency.problems())
        folders = ("dataset", "comparison", "eyes")
        yield from _models_and_precisions(self.models, self.precisions, folders)


@dataclass
class StripsRecipe:
    """Strips of synthetic eyes of varied cameras."""

    identities: int = 7000
    views: int = 6  # strips of each
    validation: int = 200  # of the identities

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(2, 100, views=self.views)
        yield from _between(2, 10**6, validation=self.validation)
        yield from _between(self.validation + 2, 10**6, identities=self.identities)


@dataclass
class FinishRecipe:
    """What is done to the trained models; see `iris_tf/training/finishing.py`."""

    # Shares of the models whose weights are averaged, by name; none: the last one alone.
    average: dict[str, float] = field(default_factory=dict)
    coarse: float = 1.0  # share of the coarse local contrast that the network is left with
    unplaced: float = 1.0  # share of what is alike all around that the embedding is left with
    statistics: bool = True  # take those of batch normalisation anew, from strips as they are
    whitening: float = 0.0  # power of their second moment that embeddings are divided by, 0..0.5

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(0.0, 1.0, coarse=self.coarse, unplaced=self.unplaced)
        yield from _between(0.0, 0.5, whitening=self.whitening)
        if self.unplaced < 1 and not self.statistics:
            yield "unplaced", "needs `statistics: true`, for it changes what is normalised"
        yield from _positive(**{f"average.{name}": share for name, share in self.average.items()})


@dataclass
class ReleaseRecipe:
    """The released recognition model: learned from strips, measured on what eyes there are."""

    run: str = MISSING
    out: str = MISSING  # folder of the released files
    seed: int = 0
    strips: StripsRecipe = field(default_factory=StripsRecipe)
    training: dict[str, Any] = field(default_factory=dict)  # keys of `TrainRecipe`
    # name -> keys of `TrainRecipe`; the last one is released, under its name
    models: dict[str, Any] = MISSING
    finish: FinishRecipe = field(default_factory=FinishRecipe)
    precisions: list[str] = field(default_factory=lambda: ["float32", "float16"])
    real: dict[str, str] = field(default_factory=dict)  # name -> image folder, to measure on
    thresholds: str = ""  # one of `real`, for the card's thresholds; empty: validation strips

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(0, 2**31 - 1, seed=self.seed)
        yield from _under("strips", self.strips.problems())
        if self.thresholds and self.thresholds not in self.real:
            yield "thresholds", f"names {self.thresholds}, which is not one of `real`"
        folders = ("dataset", "real", "finished")
        yield from _models_and_precisions(self.models, self.precisions, folders)
        yield from _under("finish", self.finish.problems())
        for name in self.finish.average:
            if name not in self.models:
                yield "finish.average", f"names {name}, which is not one of `models`"
        if "float16" not in self.precisions:
            yield "precisions", "must have float16, which is what an installation uses"
        yield from _names(real=self.real)


@dataclass
class SegmenterPart:
    """One part of the segmenter's training; it starts from the weights of the part before."""

    height: int = 192  # of what the network sees, in pixels; the width is 4/3 of it
    eyes: int = 15000
    # What is learnt of each eye: the whole image, the iris close up, or as in the last look at it.
    looks: list[str] = field(default_factory=lambda: ["whole", "close"])
    epochs: int = 10
    learning_rate: float = 2e-3  # at its highest

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _positive(
            height=self.height,
            eyes=self.eyes,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        if not self.looks:
            yield "looks", "must name at least one"
        for look in self.looks:
            yield from _one_of(("whole", "close", "last"), looks=look)
        # The network halves both sides four times.
        if self.height % 48:
            yield "height", f"must be a multiple of 48, but is {self.height}"


@dataclass
class SegmenterRecipe:
    """Training of the embedded segmentation network on varied synthetic eyes."""

    run: str = MISSING
    out: str = MISSING  # folder of the exported model and its card
    seed: int = 0
    parts: dict[str, SegmenterPart] = MISSING  # by name, in this order; the last one is exported
    validation_eyes: int = 500
    batch: int = 16
    weight_decay: float = 1e-4
    warm_steps: int = 300  # of each part
    test_eyes: int = 1000  # never trained or validated on

    def problems(self) -> Iterator[Problem]:
        """Impossible values."""
        yield from _between(0, 2**31 - 1, seed=self.seed)
        yield from _positive(
            validation_eyes=self.validation_eyes, batch=self.batch, test_eyes=self.test_eyes
        )
        yield from _between(0.0, 1.0, weight_decay=self.weight_decay)
        if not self.parts:
            yield "parts", "must name at least one part"
        yield from _names(parts=self.parts)
        for name, part in self.parts.items():
            yield from _under(f"parts.{name}", part.problems())
            if part.epochs > 0 and self.batch > 0:
                steps = part.epochs * (len(part.looks) * part.eyes // self.batch)
                yield from _between(0, steps, warm_steps=self.warm_steps)
