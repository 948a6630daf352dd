"""Ranges of a TFLite graph's activations, for static 8- and 16-bit arithmetic."""

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from iris_tf.support.quiet import quiet
from iris_tf.tflite.signatures import Signature

_VALUES_PER_CROP = 2000  # of a tensor; more values hardly move its range
_SHARES = np.linspace(0.2, 1.0, 33)  # of the seen range, both ends together
_END_SHARES = np.linspace(0.3, 1.5, 25)  # then each end alone


def observe_activations(
    content: bytes, signature: Signature, crops: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Run a float32 file over crops and sample the values of every tensor.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file.
    signature : Signature
        The one to run.
    crops : ndarray of shape (n, H, W, channels), uint8
    seed : int
        Of the choice of values.

    Returns
    -------
    dict of str to ndarray
        By tensor name: some values of each crop, and the least and the largest of all.
    """
    with quiet(1, 2):
        interpreter = Interpreter(
            model_content=content, num_threads=1, experimental_preserve_all_tensors=True
        )
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner(signature.name)
    graph = _graph_of(content, signature)
    details = [
        detail
        for detail in interpreter.get_tensor_details(graph)
        if detail["dtype"] == np.float32 and detail["name"]
    ]
    rng = np.random.default_rng(seed)
    values: dict[str, list[np.ndarray]] = {detail["name"]: [] for detail in details}
    for crop in crops:
        run(**{signature.input: crop[None].astype(np.float32)})
        for detail in details:
            try:
                tensor = interpreter.get_tensor(detail["index"], graph).ravel()
            except ValueError:  # a scratch tensor without data
                continue
            if not tensor.size:
                continue
            chosen = tensor
            if tensor.size > _VALUES_PER_CROP:
                chosen = tensor[rng.integers(0, tensor.size, _VALUES_PER_CROP)]
            values[detail["name"]] += [chosen, np.array([tensor.min(), tensor.max()])]
    return {name: np.concatenate(parts) for name, parts in values.items() if parts}


def _graph_of(content: bytes, signature: Signature) -> int:
    """Number of the subgraph that a signature runs; each of several has tensors of its own."""
    model = schema.Model.GetRootAs(content, 0)
    found = (model.SignatureDefs(i) for i in range(model.SignatureDefsLength()))
    return next(
        int(definition.SubgraphIndex())
        for definition in found
        if definition.SignatureKey().decode() == signature.name
    )


def best_range(values: np.ndarray, bits: int) -> tuple[float, float]:
    """Range of uniform quantisation with the least mean squared error.

    Values outside the range are clipped. The range always contains 0, which zero padding needs
    to be exact. Candidates are shares of the seen range, first of both ends, then of either one.

    Parameters
    ----------
    values : ndarray of shape (n,)
    bits : int

    Returns
    -------
    tuple of (float, float)
        Least and largest value, of float32's precision.
    """
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    _, low_share, high_share = min(
        (_mean_squared_error(values, share * low, share * high, bits), share, share)
        for share in _SHARES
    )
    inner_low, inner_high = low_share * low, high_share * high
    candidates = [(inner_low, inner_high)]
    candidates += [(max(low, share * inner_low), inner_high) for share in _END_SHARES]
    candidates += [(inner_low, min(high, share * inner_high)) for share in _END_SHARES]
    return min(candidates, key=lambda ends: _mean_squared_error(values, ends[0], ends[1], bits))


def _mean_squared_error(values: np.ndarray, low: float, high: float, bits: int) -> float:
    steps = 2**bits - 1
    size = (high - low) / steps
    if size <= 0.0:
        return 0.0 if not values.any() else float("inf")
    zero = np.round(-low / size)
    levels = np.clip(np.round(values / size) + zero, 0, steps)
    return float(np.mean(np.square((levels - zero) * size - values)))


def with_ranges(
    calibrated: Mapping[str, Mapping[str, np.ndarray]], values: Mapping[str, np.ndarray], bits: int
) -> dict[str, dict[str, np.ndarray]]:
    """Replace the ranges of activations in a calibration of litert-quantizer.

    Parameters
    ----------
    calibrated : mapping
        From `Quantizer.calibrate`: ``min`` and ``max`` by tensor name. Those of constants, such as
        weights, are kept.
    values : mapping of str to ndarray
        From `observe_activations`.
    bits : int
        Of activations.
    """
    ranges = {}
    for name, found in calibrated.items():
        ranges[name] = dict(found)
        if name in values and np.size(found["min"]) == 1:
            low, high = best_range(values[name], bits)
            shape = np.shape(found["min"])
            ranges[name] |= {
                "min": np.full(shape, low, np.float32),
                "max": np.full(shape, high, np.float32),
            }
    return ranges
