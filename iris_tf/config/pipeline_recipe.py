"""Recipe of a pipeline from images to report."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from iris_tf.config.checks import (
    Problem,
    between,
    folder_names,
    one_of,
    segmenter_problem,
    under,
)
from iris_tf.config.names import (
    CAMERAS,
    CHANNELS,
    CLOSED_WORLD,
    DEFAULT_SEGMENTER,
    NAMED_TEACHERS,
    NAMED_WEIGHTS,
    ROI_MODES,
    SPLIT_BY,
    SPLIT_BY_ALIASES,
)
from iris_tf.config.precision import DEFAULT_PRECISIONS, PRECISIONS


@dataclass
class SyntheticRecipe:
    """Generated eyes."""

    subjects: int = MISSING
    images: int = MISSING  # per eye
    cameras: str = "one"  # one | many (another camera, distance and light for each image)

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(3, 1000, subjects=self.subjects)
        yield from between(2, 100, images=self.images)
        yield from one_of(CAMERAS, cameras=self.cameras)


@dataclass
class DatasetRecipe:
    """Source of the eyes (`synthetic` or `images`, not both) and how they are cropped."""

    synthetic: SyntheticRecipe | None = None
    images: str | None = None
    layout: str = "auto"
    segmenter: str = DEFAULT_SEGMENTER
    roi_mode: str = "algorithm1"
    # 1 (grey) | 3 (colour); none: grey, but without a segmenter not of grey and colour images
    channels: int | None = None
    split_by: str = "subject"  # subject | identity (the paper's) | image (closed world)
    split: str | None = None  # table of splits, instead of drawing them; image: required
    # LFW's pairs.txt, of images of the test split: models are compared with each other on its
    # pairs, with accuracy over its folds; none: on all pairs of the test split
    folds: str | None = None

    def __post_init__(self) -> None:
        self.split_by = SPLIT_BY_ALIASES.get(self.split_by, self.split_by)

    @property
    def crop_channels(self) -> int:
        """Channels of the crops, 1 or 3."""
        return self.channels or CHANNELS[0]

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        if (self.synthetic is None) == (self.images is None):
            yield "images", "either `images` (a folder) or `synthetic` must be given, not both"
        if self.synthetic is not None:
            yield from under("synthetic", self.synthetic.problems())
        yield from one_of(ROI_MODES, roi_mode=self.roi_mode)
        if self.channels not in (None, *CHANNELS):
            yield "channels", f"must be 1 (grey) or 3 (colour), but is {self.channels}"
        if self.folds == "":
            yield "folds", "is empty; give the path of a list, or null"
        if problem := segmenter_problem(self.segmenter, self.roi_mode):
            yield "segmenter", problem
        yield from one_of((*SPLIT_BY, CLOSED_WORLD), split_by=self.split_by)
        if self.split_by == CLOSED_WORLD and self.split is None:
            yield "split_by", "is image, which needs a table as `split`"


@dataclass
class LatencyRecipe:
    """Host latency of the exported files."""

    threads: list[int] = field(default_factory=lambda: [1, 2])
    runs: int = 100

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        for count in self.threads:
            yield from between(1, 256, threads=count)
        if 1 not in self.threads:
            yield "threads", f"must contain 1, which the result table shows, but is {self.threads}"
        yield from between(50, 10**6, runs=self.runs)


def models_and_precisions(
    models: dict, precisions: list[str], folders: tuple[str, ...]
) -> Iterator[Problem]:
    """Check models and precisions; `folders` are other folders of the run."""
    if not models:
        yield "models", "must name at least one model"
    for name in models:
        # Each model has a folder of its name in the run folder.
        if name in folders:
            yield "models", f"has {name!r}, the name of another folder of the run; choose another"
        elif name in NAMED_WEIGHTS:
            yield "models", f"has {name!r}, a reserved value of `weights`; choose another"
        elif name in NAMED_TEACHERS:
            yield "models", f"has {name!r}, a reserved value of `teacher`; choose another"
    yield from folder_names(models=models)
    if not precisions:
        yield "precisions", "must name at least one"
    for precision in precisions:
        yield from one_of(tuple(PRECISIONS), precisions=precision)


@dataclass
class PipelineRecipe:
    """All stages from eyes to report; `training` holds the settings that models share."""

    run: str = MISSING
    seed: int = 0
    dataset: DatasetRecipe = field(default_factory=DatasetRecipe)
    training: dict[str, Any] = field(default_factory=dict)  # keys of `TrainRecipe`
    models: dict[str, Any] = MISSING  # name -> its own keys of `TrainRecipe`
    # Trainings of each model that no other starts from or learns from, with `seed`, `seed` + 1, ...
    repeats: int = 1
    precisions: list[str] = field(default_factory=lambda: list(DEFAULT_PRECISIONS))
    latency: LatencyRecipe = field(default_factory=LatencyRecipe)

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(0, 2**31 - 1, seed=self.seed)
        yield from under("dataset", self.dataset.problems())
        yield from under("latency", self.latency.problems())
        yield from between(1, 100, repeats=self.repeats)
        folders = ("dataset", "comparison", "distillation", "eyes")
        yield from models_and_precisions(self.models, self.precisions, folders)
