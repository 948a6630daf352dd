from dataclasses import replace

from results_by_hand import result_of

from iris_tf.metrics.differences import Difference
from iris_tf.report.quantization_plots import accuracy_by_bits_plot, bits_by_layer_plot
from iris_tf.report.quantization_table import quantization_table
from iris_tf.report.report_data import QuantizationRow


def row(name, bits, size, eer, bounds, difference=None, layers=None, parts=None, **rates):
    found = result_of({
        "evaluation": {
            "metrics": {"eer": eer, "vr_far_1e-2": 0.97, "fnmr_fmr_1e-2": 0.03} | rates,
            "intervals": {"bounds": {"eer": bounds}},
            "counts": {"images": 450, "identities": 90, "persons": 45,
                       "genuine_comparisons": 900, "impostor_comparisons": 100125},
        },
        "model": {},
    }).first  # fmt: skip
    differences = {"eer": difference} if difference else {}
    result = replace(found, differences=differences)
    return QuantizationRow(name, bits, size, result, layers or {}, parts or {})


ROWS = [
    row("float32", 32.0, 4096 * 1024, 0.01, [0.005, 0.02]),
    row("fixed8", 8.0, 1100 * 1024, 0.012, [0.006, 0.022],
        Difference(0.002, [-0.001, 0.004], False), {"conv": 8.0, "dense": 8.0},
        {"graph": 7168, "mask": 100, "numbers": 92 * 1024, "weights": 1000 * 1024}),
    row("mixed01", 8.0, 1100 * 1024, 0.011, [0.005, 0.02], Difference(0.001, None, None),
        {"conv": 8.0, "dense": 8.0}),
    row("mixed12", 2.0, 300 * 1024, 0.02, [0.01, 0.03], Difference(0.01, [0.004, 0.015], True),
        {"conv": 2.0, "dense": 2.0}),
]  # fmt: skip


def test_each_network_has_a_row_and_unsupported_rates_no_column():
    lines = quantization_table(ROWS, "made figures").splitlines()
    assert lines[0] == "## Quantised networks, measured on made figures"
    assert "450 images of 90 identities, 900 genuine and 100,125 impostor comparisons" in lines[2]
    assert lines[4] == (
        "| network | average bits | size, KiB | of which weights, mask, numbers, graph | EER, % | "
        "EER, difference to float32 | VR@FAR=1 %, % | FNMR@FMR=1e-2, % |"
    )
    assert lines[6] == "| float32 | 32.00 | 4,096 | – | 1.00 (0.50 to 2.00) | – | 97.00 | 3.00 |"
    assert lines[7] == (
        "| fixed8 | 8.00 | 1,100 | 1,000, 0, 92, 7 | 1.20 (0.60 to 2.20) | +0.20 "
        "(-0.10 to +0.40) | 97.00 | 3.00 |"
    )
    assert "| mixed01 | 8.00 | 1,100 | – | 1.10 (0.50 to 2.00) | +0.10 | 97.00 | 3.00 |" in lines
    assert [row.scheme for row in ROWS] == ["float32", "fixed", "mixed", "mixed"]


def test_a_rate_that_one_network_supports_has_a_column():
    more = [
        *ROWS,
        row("fixed4", 4.0, 9, 0.3, [0.2, 0.4], layers={"a": 4.0}, **{"fnmr_fmr_1e-3": 0.9}),
    ]
    lines = quantization_table(more, "x").splitlines()
    assert lines[4].endswith("| FNMR@FMR=1e-2, % | FNMR@FMR=1e-3, % |")
    assert lines[6].endswith("| 3.00 | – |")
    assert lines[10].endswith("| 3.00 | 90.00 |")


def test_plots_are_png_files():
    for draw in (accuracy_by_bits_plot, bits_by_layer_plot):
        assert draw(ROWS)[:8] == b"\x89PNG\r\n\x1a\n"
