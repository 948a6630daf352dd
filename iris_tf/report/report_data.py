"""What a report shows, as data: result rows, training curves, pairs of crops, the whole page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import SPLITS
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.evaluation_result import ModelResult
from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.metrics.differences import Difference
from iris_tf.metrics.metrics import Metrics
from iris_tf.metrics.scales import SIMILARITIES, Scale
from iris_tf.metrics.scores import label_images
from iris_tf.support.errors import EvaluationError
from iris_tf.support.foreign_files import read_table


@dataclass(frozen=True)
class ReportRow:
    """One line of the result table.

    Attributes
    ----------
    model : str
        Name for a reader, e.g. ``"MobiIris (attention, distilled)"``.
    precision : str
        ``"float32"``, ``"float16"``, or ``""`` where there is no model file.
    metrics : Metrics
        Its figures.
    bytes : int, optional
        Size of the model file.
    latency_ms : float, optional
        Median inference time for one crop on one thread of the report's machine, in milliseconds.
    latency_p95_ms : float, optional
        95th percentile of these times.
    latency_runs : int, optional
        Number of these times.
    reference : bool, optional
        True for an untrained baseline (untrained network, raw pixels).
    external : bool, optional
        True for a model that was made elsewhere, such as an external teacher: the conclusions are
        not about it.
    parameters, macs : int, optional
        Constants of the model, and multiply-accumulate operations of one inference.
    generalised : mapping, optional
        Result of `generalised_rates`, where failures to extract are known.
    slices : mapping, optional
        Result of `slice_figures`.
    """

    model: str
    precision: str
    metrics: Metrics
    bytes: int | None = None
    latency_ms: float | None = None
    reference: bool = False
    external: bool = False
    parameters: int | None = None
    macs: int | None = None
    latency_p95_ms: float | None = None
    latency_runs: int | None = None
    generalised: Mapping[str, Any] | None = None
    slices: Mapping[str, Any] | None = None

    @property
    def trained(self) -> bool:
        """Whether the conclusions are about this model."""
        return not self.reference and not self.external

    @property
    def eer(self) -> float:
        """Equal error rate, 0..1."""
        return self.metrics.eer

    @property
    def label(self) -> str:
        """Model and precision."""
        return f"{self.model}, {self.precision}" if self.precision else self.model


@dataclass(frozen=True)
class TrainingCurve:
    """Training history of one model.

    Attributes
    ----------
    model : str
        Name, the same as in the result table.
    epochs : list of int
        Counted from 1.
    loss : list of float
        Mean training loss of each epoch.
    val_eer : list of float
        Equal error rate on validation identities after each epoch, 0..1; empty if it was
        not measured.
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
            If the file is missing or has no such columns of numbers.
        """
        history = Path(history)
        try:
            lines = [line for _, line in read_table(history)]
            measured = bool(lines) and "val_eer" in lines[0]
            return cls(
                model,
                [int(line["epoch"]) for line in lines],
                [float(line["loss"]) for line in lines],
                [float(line["val_eer"]) for line in lines] if measured else [],
            )
        except FileNotFoundError:
            raise EvaluationError(
                f"{history}: there is no such history; give the folder of a finished run."
            ) from None
        except (KeyError, TypeError, ValueError):
            raise EvaluationError(
                f"{history}: the columns epoch, loss and val_eer do not hold numbers; restore the "
                "file from its run with `--resume`."
            ) from None


@dataclass(frozen=True)
class TaughtModel:
    """A distilled model and its teacher on the images of the report.

    Attributes
    ----------
    model, teacher : str
        Names.
    teacher_eer : float
        Equal error rate of the teacher, 0..1.
    distance : float or None
        Mean cosine distance of the embeddings of both, 0..2; None if their sizes differ.
    alignment : float or None
        Their linear centred kernel alignment, see `iris_tf.metrics.kernel_alignment.linear_cka`.
    """

    model: str
    teacher: str
    teacher_eer: float
    distance: float | None
    alignment: float | None = None


@dataclass(frozen=True)
class ComparedPair:
    """Two images and their score or similarity according to a model.

    Attributes
    ----------
    names : tuple of str
        Both images' names.
    score : float
        On the scale of its `WorstPairs`.
    crops : tuple of ndarray of shape (height, width) or (height, width, 3), uint8
        Both crops, grey or RGB.
    """

    names: tuple[str, str]
    score: float
    crops: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class WorstPairs:
    """The worst comparisons of one model.

    Attributes
    ----------
    model : str
        Name, the same as in the result table.
    genuine : sequence of ComparedPair
        Genuine comparisons with the lowest scores, the lowest first.
    impostor : sequence of ComparedPair
        Impostor comparisons with the highest scores, the highest first.
    scale : Scale, optional
        Of the scores.
    """

    model: str
    genuine: Sequence[ComparedPair]
    impostor: Sequence[ComparedPair]
    scale: Scale = SIMILARITIES


@dataclass(frozen=True)
class QuantizationRow:
    """One network.

    Attributes
    ----------
    name : str
        ``"float32"``, or the scheme and its bits or iteration, such as ``"fixed8"``.
    average_bits : float
        Mean bits of a weight.
    bytes : int
        Of the file; of the float network, of its weights.
    result : ModelResult
        Figures, and their differences to the float network.
    layers : mapping of str to float
        Average bits of the weights of each layer, from input to output; empty for the float
        network.
    parts : mapping of str to int, optional
        Bytes of the file's parts: ``"weights"``, ``"mask"`` (their widths), ``"numbers"`` (scales
        and what is float) and ``"graph"``; empty for the float network.
    """

    name: str
    average_bits: float
    bytes: int
    result: ModelResult
    layers: Mapping[str, float]
    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """Name of the scheme."""
        return self.name if not self.layers else self.name.rstrip("0123456789")


@dataclass(frozen=True)
class Report:
    """Content of the page.

    Attributes
    ----------
    title : str
        Heading.
    dataset : str
        Name of the images, e.g. ``"CASIA-IrisV4-Thousand"``.
    evaluated_on : str
        Which of them were compared, e.g. ``"test split: subjects not seen in training"``.
    synthetic : bool
        True if the eyes were generated: every figure is then labelled so.
    roi_mode : str
        How the crops were cut.
    rows : sequence of ReportRow
        The result table.
    splits : mapping of str to mapping of str to int
        Subjects, identities and images of each split, from `count_splits`.
    failures : mapping of str to int
        Images without a crop, by reason.
    environment : mapping
        Machine and versions, from `iris_tf.support.machine.machine_description`.
    curves : sequence of TrainingCurve
        One for each trained model.
    crops : sequence of ndarray of shape (height, width) or (height, width, 3), uint8
        Some crops, grey or RGB, at the networks' input size.
    notes : sequence of str
        Further information for the reader, a sentence each.
    conclusion : str, optional
        The conclusion; empty for that of `verdict`.
    differences : mapping of str to mapping of str to Difference
        By the name of another model: its differences to `compared_with`, from
        `paired_differences`.
    compared_with : str, optional
        Name of that model; empty for that of the first row.
    worst : sequence of WorstPairs
        One for each model of which the pairs are shown.
    occlusion : mapping of str to sequence of OcclusionMap
        Saliency maps by the name of a model.
    taught : sequence of TaughtModel
        The distilled models.
    quantization : sequence of QuantizationRow
        The float network, and its quantised ones; empty where the page is not about these.
    folds : mapping of str to mapping
        `iris_tf.evaluation.protocols.Protocol.fold_figures` by the name of a model, where the
        protocol has folds.
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
    differences: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)
    compared_with: str = ""
    worst: Sequence[WorstPairs] = ()
    occlusion: Mapping[str, Sequence[OcclusionMap]] = field(default_factory=dict)
    taught: Sequence[TaughtModel] = ()
    quantization: Sequence[QuantizationRow] = ()
    folds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def count_splits(rows: Sequence[ManifestRow]) -> dict[str, dict[str, int]]:
    """Subjects, identities and images of each split that has any."""
    counts = {}
    for split in SPLITS:
        if members := [row for row in rows if row.split == split]:
            labels = label_images(members)
            counts[split] = {
                "subjects": labels.subjects,
                "identities": labels.identities,
                "images": len(members),
            }
    return counts
