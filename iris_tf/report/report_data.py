"""What a report shows, as data: result rows, training curves, pairs of crops, the whole page."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import SPLITS
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.metrics.scores import label_images
from iris_tf.support.errors import EvaluationError


@dataclass(frozen=True)
class ReportRow:
    """One line of the result table.

    Attributes
    ----------
    model : str
        Name for a reader, e.g. ``"MobiIris (attention, distilled)"``.
    precision : str
        ``"float32"``, ``"float16"``, or ``""`` where there is no model file.
    evaluation : dict
        What `evaluate_embeddings` returned, or its JSON read again.
    bytes : int, optional
        Size of the model file.
    latency_ms : float, optional
        Median time of one crop on one thread of the machine in the report, in milliseconds.
    latency_p95_ms : float, optional
        95th percentile of the same times.
    latency_runs : int, optional
        Number of them.
    reference : bool, optional
        True for a line that has learnt nothing (untrained network, raw pixels).
    parameters, macs : int, optional
        Constants of the model, and multiply-accumulate operations of one inference.
    generalised : mapping, optional
        What `generalised_rates` returned, where failures to extract are known.
    slices : mapping, optional
        What `slice_figures` returned.
    """

    model: str
    precision: str
    evaluation: Mapping[str, Any]
    bytes: int | None = None
    latency_ms: float | None = None
    reference: bool = False
    parameters: int | None = None
    macs: int | None = None
    latency_p95_ms: float | None = None
    latency_runs: int | None = None
    generalised: Mapping[str, Any] | None = None
    slices: Mapping[str, Any] | None = None

    @property
    def eer(self) -> float:
        """Equal error rate, 0..1."""
        return self.evaluation["metrics"]["eer"]

    @property
    def label(self) -> str:
        """Model and precision in one."""
        return f"{self.model}, {self.precision}" if self.precision else self.model


@dataclass(frozen=True)
class TrainingCurve:
    """How one model learnt.

    Attributes
    ----------
    model : str
        Name, the same as in the result table.
    epochs : list of int
        Counted from 1.
    loss : list of float
        Mean training loss of each epoch.
    val_eer : list of float
        Equal error rate on validation identities after each epoch, 0..1; empty when the
        run had none.
    """

    model: str
    epochs: list[int]
    loss: list[float]
    val_eer: list[float]

    @classmethod
    def read(cls, model: str, history: str | Path) -> "TrainingCurve":
        """Read a run's ``history.csv`` (columns epoch, loss, and val_eer if measured).

        Raises
        ------
        EvaluationError
            When the file is missing or has no such columns of numbers.
        """
        history = Path(history)
        try:
            with open(history, newline="", encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
            measured = bool(lines) and "val_eer" in lines[0]
            return cls(
                model,
                [int(line["epoch"]) for line in lines],
                [float(line["loss"]) for line in lines],
                [float(line["val_eer"]) for line in lines] if measured else [],
            )
        except FileNotFoundError:
            raise EvaluationError(
                f"{history}: there is no such history; name the folder of a finished run."
            ) from None
        except (KeyError, TypeError, ValueError):
            raise EvaluationError(
                f"{history}: the columns epoch, loss and val_eer do not hold numbers; restore the "
                "file from its run with `--resume`."
            ) from None


@dataclass(frozen=True)
class ComparedPair:
    """Two images and how alike a model finds them.

    Attributes
    ----------
    names : tuple of str
        Both images' names.
    score : float
        Similarity, -1..1.
    crops : tuple of ndarray of shape (height, width), uint8
        Both crops.
    """

    names: tuple[str, str]
    score: float
    crops: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class WorstPairs:
    """Where one model is most wrong.

    Attributes
    ----------
    model : str
        Name, the same as in the result table.
    genuine : sequence of ComparedPair
        Genuine comparisons of the lowest scores, the lowest first.
    impostor : sequence of ComparedPair
        Impostor comparisons of the highest scores, the highest first.
    """

    model: str
    genuine: Sequence[ComparedPair]
    impostor: Sequence[ComparedPair]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes
    ----------
    title : str
        Heading.
    dataset : str
        Name of the images, e.g. ``"CASIA-IrisV4-Thousand"``.
    evaluated_on : str
        Which of them were compared, e.g. ``"test split: persons not seen in training"``.
    synthetic : bool
        True when the eyes were generated: every figure is then labelled as such.
    roi_mode : str
        How crops were cut.
    rows : sequence of ReportRow
        The result table.
    splits : mapping of str to mapping of str to int
        Persons, identities and images of each split, as `count_splits` gives them.
    failures : mapping of str to int
        Images without a crop, by reason.
    environment : mapping
        Machine and versions, as `iris_tf.support.machine.machine_description` gives them.
    curves : sequence of TrainingCurve
        One for each trained model.
    crops : sequence of ndarray of shape (height, width), uint8
        Some crops as the networks see them.
    notes : sequence of str
        What a reader must know besides, a sentence each.
    conclusion : str, optional
        The verdict; empty for what `verdict` says of the rows.
    differences : mapping of str to mapping
        By the name of another model: its differences to `compared_with`, as
        `paired_differences` gives them.
    compared_with : str, optional
        Name of that model; empty for the one of the first row.
    worst : sequence of WorstPairs
        One for each model of which the pairs shall be shown.
    occlusion : mapping of str to sequence of OcclusionMap
        By the name of a model, what its embedding of some eyes looks at.
    """

    title: str
    dataset: str
    evaluated_on: str
    synthetic: bool
    roi_mode: str
    rows: Sequence[ReportRow]
    splits: Mapping[str, Mapping[str, int]]
    failures: Mapping[str, int]
    environment: Mapping[str, Any]
    curves: Sequence[TrainingCurve] = ()
    crops: Sequence[np.ndarray] = ()
    notes: Sequence[str] = ()
    conclusion: str = ""
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    compared_with: str = ""
    worst: Sequence[WorstPairs] = ()
    occlusion: Mapping[str, Sequence[OcclusionMap]] = field(default_factory=dict)


def count_splits(rows: Sequence[ManifestRow]) -> dict[str, dict[str, int]]:
    """Persons, identities and images of each split that has any."""
    counts = {}
    for split in SPLITS:
        if members := [row for row in rows if row.split == split]:
            labels = label_images(members)
            counts[split] = {
                "persons": labels.persons,
                "identities": labels.identities,
                "images": len(members),
            }
    return counts
