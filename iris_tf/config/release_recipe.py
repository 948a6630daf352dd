"""Recipe of the released recognition model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from iris_tf.config.checks import Problem, between, folder_names, positive, under
from iris_tf.config.pipeline_recipe import models_and_precisions
from iris_tf.config.precision import DEFAULT_PRECISIONS, RELEASED_PRECISION


@dataclass
class StripsRecipe:
    """Strips of synthetic eyes from varied cameras."""

    identities: int = 7000
    views: int = 6  # strips per identity
    validation: int = 200  # identities of the validation split

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(2, 100, views=self.views)
        yield from between(2, 10**6, validation=self.validation)
        yield from between(self.validation + 2, 10**6, identities=self.identities)


@dataclass
class FinishRecipe:
    """Finishing of the trained weights; see `iris_tf/training/finishing.py`."""

    # Shares of the models whose weights are averaged, by name; empty: only the last model.
    average: dict[str, float] = field(default_factory=dict)
    coarse: float = 1.0  # share of the low-frequency local contrast that the network keeps
    # Share of the components independent of the angle that are kept; below 1, the statistics of
    # batch normalisation are recomputed on unaugmented strips.
    unplaced: float = 1.0
    whitening: float = 0.0  # power of the embeddings' second moment to divide by, 0..0.5

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(0.0, 1.0, coarse=self.coarse, unplaced=self.unplaced)
        yield from between(0.0, 0.5, whitening=self.whitening)
        yield from positive(**{f"average.{name}": share for name, share in self.average.items()})


@dataclass
class ScoresRecipe:
    """Generated sites to which the card's scores are fitted; see `docs/how-it-works/scores.md`."""

    sites: int = 0  # 0: the card has no scores
    eyes: int = 80  # of each site
    images: int = 3  # of each eye; two of every second eye also degraded
    seed: int = 77

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(0, 1000, sites=self.sites)
        yield from between(2, 10**4, eyes=self.eyes)
        yield from between(2, 100, images=self.images)
        yield from between(0, 2**31 - 1, seed=self.seed)


@dataclass
class ReleaseRecipe:
    """Released recognition model: trained on synthetic strips, evaluated on available datasets."""

    run: str = MISSING
    out: str = MISSING  # folder of the released files
    seed: int = 0
    strips: StripsRecipe = field(default_factory=StripsRecipe)
    training: dict[str, Any] = field(default_factory=dict)  # keys of `TrainRecipe`
    # name -> keys of `TrainRecipe`; the last model is released under its name
    models: dict[str, Any] = MISSING
    finish: FinishRecipe = field(default_factory=FinishRecipe)
    scores: ScoresRecipe = field(default_factory=ScoresRecipe)
    precisions: list[str] = field(default_factory=lambda: list(DEFAULT_PRECISIONS))
    real: dict[str, str] = field(default_factory=dict)  # name -> image folder, for evaluation
    thresholds: str = ""  # one of `real`, for the card's thresholds; empty: validation strips

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(0, 2**31 - 1, seed=self.seed)
        yield from under("strips", self.strips.problems())
        if self.thresholds and self.thresholds not in self.real:
            yield "thresholds", f"names {self.thresholds}, which is not one of `real`"
        folders = ("dataset", "real", "finished")
        yield from models_and_precisions(self.models, self.precisions, folders)
        yield from under("finish", self.finish.problems())
        yield from under("scores", self.scores.problems())
        for name in self.finish.average:
            if name not in self.models:
                yield "finish.average", f"names {name}, which is not one of `models`"
        if RELEASED_PRECISION not in self.precisions:
            yield (
                "precisions",
                f"must contain {RELEASED_PRECISION}, the precision that an installation uses",
            )
        yield from folder_names(real=self.real)
