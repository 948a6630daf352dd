"""What an evaluation found, and how it is written: the content of ``metrics.json``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from iris_tf.metrics.differences import Difference
from iris_tf.metrics.metrics import Metrics


@dataclass(frozen=True)
class Latency:
    """Time of one inference on this machine.

    Attributes
    ----------
    median, p95 : float
        Median and 95th percentile in milliseconds.
    runs, threads : int
        Number of timed inferences, and threads of each.
    runtime : str
        Name and version of the runtime.
    """

    median: float
    p95: float
    runs: int
    threads: int
    runtime: str


@dataclass(frozen=True)
class ModelDescription:
    """An evaluated model.

    Attributes
    ----------
    name : str
        What it is called in all results.
    file : str
        File name.
    precision : str
        As in its model card; empty where that is not known.
    sha256 : str
        Digest of the file.
    bytes : int
        Size of the file.
    phase : dict or None
        Fields of its `PhaseCodeLayout`.
    parameters, macs : int or None
        See `iris_tf.tflite.cost.ModelCost`; None for a file that is not ``.tflite``.
    latency : Latency or None
        None where it was not measured.
    """

    name: str
    file: str
    precision: str
    sha256: str
    bytes: int
    phase: dict[str, Any] | None
    parameters: int | None
    macs: int | None
    latency: Latency | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict`."""
        latency = content["latency"]
        return cls(**{**content, "latency": None if latency is None else Latency(**latency)})


@dataclass(frozen=True)
class ModelResult:
    """Figures of one model.

    Attributes
    ----------
    model : ModelDescription
        The model.
    metrics : Metrics
        Its figures on all images.
    generalised : dict or None
        See `generalised_rates`; None where failures to extract are not known.
    slices : dict
        See `slice_figures`.
    differences : dict of str to Difference
        To the first model, by name of the figure; empty for the first itself.
    folds : dict or None
        See `Protocol.fold_figures`; None without folds.
    """

    model: ModelDescription
    metrics: Metrics
    generalised: dict[str, Any] | None
    slices: dict[str, Any]
    differences: dict[str, Difference] = field(default_factory=dict)
    folds: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object, without the differences."""
        return {
            "model": asdict(self.model),
            "evaluation": self.metrics.to_json(),
            "generalised": self.generalised,
            "slices": self.slices,
        } | ({} if self.folds is None else {"folds": self.folds})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`, with the differences where they are stated."""
        return cls(
            ModelDescription.from_json(content["model"]),
            Metrics.from_json(content["evaluation"]),
            content["generalised"],
            content["slices"],
            {name: Difference(**found) for name, found in content.get("differences", {}).items()},
            content.get("folds"),
        )


@dataclass(frozen=True)
class BaselineResult:
    """Figures of another method on the images that it could use.

    Attributes
    ----------
    name, library : str
        Of the method, and of what implements it.
    segmenter, segmenter_version : str
        What its masks were made by.
    templates : int
        Number of images it could use.
    failures, errors : dict of str to int
        Number of the other images by `FailureReason`, and by the library's own names.
    metrics : Metrics
        Its figures.
    generalised : dict or None
        See `generalised_rates`; an image without a template is a failure to extract too.
    model_metrics : Metrics
        Figures of the first model on the same images.
    """

    name: str
    library: str
    segmenter: str
    segmenter_version: str
    templates: int
    failures: dict[str, int]
    errors: dict[str, int]
    metrics: Metrics
    generalised: dict[str, Any] | None
    model_metrics: Metrics

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        content = dict(vars(self))
        content["evaluation"] = content.pop("metrics").to_json()
        content["model_evaluation"] = content.pop("model_metrics").to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        content = dict(content)
        metrics, model_metrics = (
            Metrics.from_json(content.pop(name)) for name in ("evaluation", "model_evaluation")
        )
        return cls(metrics=metrics, model_metrics=model_metrics, **content)


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of one or more models on the same images.

    Attributes
    ----------
    models : sequence of ModelResult
        The first is the one that the others are compared with.
    baselines : sequence of BaselineResult
        Other methods.
    manifests : sequence of str
        Datasets, as they were given.
    split : str
        Split that was compared.
    machine : dict
        See `iris_tf.support.machine.machine_description`.
    """

    models: Sequence[ModelResult]
    baselines: Sequence[BaselineResult]
    manifests: Sequence[str]
    split: str
    machine: dict[str, Any]

    @property
    def first(self) -> ModelResult:
        """The model that the others are compared with."""
        return self.models[0]

    @property
    def others(self) -> Sequence[ModelResult]:
        """All other models."""
        return self.models[1:]

    def to_json(self) -> dict[str, Any]:
        """JSON object, as in ``metrics.json``."""
        return {
            **self.first.to_json(),
            "others": list(self._others()),
            "manifest": self.manifests[0],
            "other_manifests": list(self.manifests[1:]),
            "split": self.split,
            "baselines": [baseline.to_json() for baseline in self.baselines],
            "machine": self.machine,
        }

    def _others(self) -> Iterator[dict[str, Any]]:
        for other in self.others:
            found = {name: asdict(difference) for name, difference in other.differences.items()}
            yield other.to_json() | {"differences": found}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            models=[ModelResult.from_json(entry) for entry in (content, *content["others"])],
            baselines=[BaselineResult.from_json(entry) for entry in content["baselines"]],
            manifests=[content["manifest"], *content["other_manifests"]],
            split=content["split"],
            machine=content["machine"],
        )
