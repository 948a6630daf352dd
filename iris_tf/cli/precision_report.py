"""Prints what `iris-tf export --report` found."""

import json
from pathlib import Path
from typing import Any

from iris_tf.cli.console import echo

_LAYERS = 10  # with the lowest signal-to-noise ratio


def print_precision_report(path: Path) -> None:
    """Print the worst and the float layers of integer files, and what float16 arithmetic does.

    Parameters
    ----------
    path : Path
        Written by `iris_tf.exporting.export_run`.
    """
    report = json.loads(path.read_text("utf-8"))
    for precision, layers in report["layers"].items():
        for layer in sorted(layers, key=lambda layer: layer["signal_to_noise"])[:_LAYERS]:
            echo(
                f"{precision}, {layer['layer']}: {layer['signal_to_noise']:.1f} dB signal to "
                f"noise, cosine {layer['cosine']:.5f}"
            )
        for layer in layers:
            if layer["float_operations"]:
                operations = ", ".join(layer["float_operations"])
                echo(f"{precision}, {layer['layer']}: computes in float32 ({operations})")
    for crops, found in report["float16_arithmetic"].items():
        echo(f"float16 arithmetic, {crops} crops: {_in_words(found)}")


def _in_words(found: dict[str, Any]) -> str:
    overflows = ", ".join(f"{layer} ({count})" for layer, count in found["overflows"].items())
    cosine = found["min_cosine"]
    sums = ""
    if found["largest_sum_layer"]:
        sums = f"largest sum {found['largest_sum']:.4g} ({found['largest_sum_layer']}), "
    return (
        f"largest output {found['largest']:.4g} ({found['largest_layer']}), {sums}"
        f"overflows: {overflows or 'none'}, "
        f"least cosine with float32 {'none' if cosine is None else f'{cosine:.5f}'}"
    )
