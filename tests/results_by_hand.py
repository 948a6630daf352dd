"""Evaluation results for tests, built from the few metrics that a test is about."""

from iris_tf.evaluation.evaluation_result import EvaluationResult
from iris_tf.metrics.metrics import Metrics

_VALUES = (
    "eer", "vr_far_1e-2", "vr_far_1e-3", "fnmr_fmr_1e-2", "fnmr_fmr_1e-3", "fnmr_fmr_1e-4",
    "fnmr_fmr_1e-5", "auc", "d_prime", "cmc_1", "cmc_5", "cmc_10", "fnir_fpir_1e-1",
    "fnir_fpir_1e-2",
)  # fmt: skip
_COUNTS = ("images", "identities", "persons", "genuine_comparisons", "impostor_comparisons")
_POINT = {"threshold": 0.5, "fmr": 0.0, "fnmr": 0.0, "false_matches": 0}
_INTERVALS = {"level": 0.9, "resamples": 1000, "seed": 0, "bounds": {}}
_MODEL = dict.fromkeys(
    ("name", "file", "precision", "sha256", "bytes", "phase", "parameters", "macs", "latency")
)
_BASELINE = dict.fromkeys(
    ("name", "library", "segmenter", "segmenter_version", "templates", "generalised")
) | {"failures": {}, "errors": {}}
_CURVES = {
    "det": {"fmr": [], "fnmr": []},
    "histogram": {"edges": [-1.0, 0.0, 1.0], "genuine": [0.5, 0.5], "impostor": [0.5, 0.5]},
    "cmc": [],
}


def metrics_json(content):
    """JSON of metrics, completed from some entries."""
    whole = {
        "protocol": "all-pairs", "thresholds": {"eer": 0.5}, "curves": _CURVES, "open_set": None,
    } | content  # fmt: skip
    whole["counts"] = dict.fromkeys(_COUNTS, 0) | whole.get("counts", {})
    whole["metrics"] = dict.fromkeys(_VALUES) | whole["metrics"]
    if whole.setdefault("intervals", None) is not None:
        whole["intervals"] = _INTERVALS | whole["intervals"]
    whole["operating_points"] = {
        name: _POINT | point for name, point in whole.get("operating_points", {}).items()
    }
    return whole


def metrics_of(**content):
    """Metrics, from some entries of their JSON."""
    return Metrics.from_json(metrics_json(content))


def result_of(content):
    """Evaluation result, from some entries of ``metrics.json``."""
    content = {
        "others": [], "baselines": [], "manifest": "manifest.csv", "other_manifests": [],
        "split": "test", "machine": {},
    } | content  # fmt: skip
    return EvaluationResult.from_json({
        **content,
        **_entry(content),
        "others": [_entry(other) for other in content["others"]],
        "baselines": [_baseline(baseline) for baseline in content["baselines"]],
    })  # fmt: skip


def _entry(content):
    whole = {"generalised": None, "slices": {}} | content
    return whole | {
        "model": _MODEL | whole["model"],
        "evaluation": metrics_json(whole["evaluation"]),
    }


def _baseline(content):
    evaluations = {name: metrics_json(content[name]) for name in ("evaluation", "model_evaluation")}
    return _BASELINE | content | evaluations
