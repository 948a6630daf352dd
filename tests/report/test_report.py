import base64
import dataclasses
import html
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from results_by_hand import metrics_of
from rich.console import Console

from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.differences import Difference
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.metrics import Metrics
from iris_tf.metrics.scales import SCORES
from iris_tf.metrics.score_figures import ScoreFigures, ScorePointErrors, SearchErrors
from iris_tf.report.det_curve import lowest_fmr
from iris_tf.report.report_data import (
    ComparedPair,
    Report,
    ReportRow,
    TaughtModel,
    TrainingCurve,
    WorstPairs,
    count_splits,
)
from iris_tf.report.report_page import write_report
from iris_tf.report.report_words import verdict
from iris_tf.report.terminal_table import format_table
from iris_tf.support.errors import EvaluationError

SPACE = "\N{NO-BREAK SPACE}"


def evaluation(eer, bounds=None, **changes):
    """Figures that can be told apart."""
    every = ("eer", "vr_far_1e-2", "cmc_1")
    content = {
        "counts": {
            "images": 1234,
            "identities": 246,
            "persons": 123,
            "genuine_comparisons": 2468,
            "impostor_comparisons": 758293,
        },
        "metrics": {"eer": eer, "vr_far_1e-2": 0.87654, "cmc_1": 0.91234},
        "thresholds": {"eer": 0.3},
        "eer_point": {"threshold": 0.3, "fmr": eer, "fnmr": eer, "false_matches": 9},
        "intervals": bounds
        and {"level": 0.9, "resamples": 200, "seed": 0, "bounds": dict.fromkeys(every, bounds)},
        "curves": {
            "det": {"fmr": [0.0, 0.05, 1.0], "fnmr": [1.0, 0.05, 0.0]},
            "histogram": {
                "edges": [-1, 0, 0.5, 1],
                "genuine": [0, 0.1, 0.9],
                "impostor": [0.2, 0.8, 0],
            },
            "cmc": [0.9, 0.95, 1.0],
        },
    }
    return metrics_of(**content | changes)


ROWS = [
    ReportRow("Teacher", "float32", evaluation(0.0212, [0.0101, 0.0303]), 91 * 2**20, 31.46),
    ReportRow("Student <A&B>", "float32", evaluation(0.0414, [0.031, 0.0505]), 12 * 2**20, 3.99),
    ReportRow("Student <A&B>", "float16", evaluation(0.0415, [0.031, 0.0505]), 6 * 2**20, 4.01),
    ReportRow(
        "Untrained network",
        "float32",
        evaluation(0.35, [0.33, 0.37]),
        12 * 2**20,
        3.9,
        reference=True,
    ),
    ReportRow("Raw pixels", "", evaluation(0.3, [0.28, 0.32]), reference=True),
]
CURVES = [
    TrainingCurve("Teacher", [1, 2, 3], [0.5, 0.3, 0.2], [0.4, 0.2, 0.1]),
    TrainingCurve("Another", [1, 2], [0.5, 0.4], []),
]


def make_report(**changes):
    values = dict(
        title="Run <1>",
        dataset="Generated eyes",
        evaluated_on="test split",
        synthetic=True,
        roi_mode="aligned",
        rows=ROWS,
        splits={"train": {"subjects": 77, "identities": 154, "images": 1540}},
        failures={"occluded": 5, "no_iris": 3, "unreadable": 0},
        environment={
            "cpu": "A Processor",
            "cores": 2,
            "memory_bytes": 8 * 2**30,
            "packages": {"numpy": "2.4.6"},
            "gpu": None,
        },
        curves=CURVES,
        crops=[np.full((8, 8), level, np.uint8) for level in (10, 200)],
        notes=["Trained for 3 epochs."],
    )
    return Report(**(values | changes))


class Page(HTMLParser):
    """Collects text, pictures, and whether every tag is closed."""

    def __init__(self, source):
        super().__init__()
        self.text, self.images, self.tags, self.open = [], [], set(), []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def written(tmp_path, **changes):
    path = tmp_path / "run" / "report.html"
    write_report(path, make_report(**changes))
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert page.open == []
    return source, page, re.sub(r"\s+", " ", " ".join(page.text))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("report"))


def test_page_holds_every_figure(whole):
    _, _, text = whole
    for figure in (
        "2.12",
        "1.01–3.03",
        "4.14",
        "4.15",
        "3.10–5.05",
        "35.00",
        "30.00",  # EER
        "87.65",
        "91.23",
        "91.00",
        "12.00",
        "6.00",
        "31.5",
        "4.0",
        "3.9",
        "1,234 images",
        "246 identities (eyes)",
        "123 subjects",
        "2,468 genuine",
        "758,293 impostor",
        "77",
        "154",
        "1,540",
        "8 (no_iris 3, occluded 5)",
        "A Processor",
        "8.0 GiB",
        "2.4.6",
        "Trained for 3 epochs.",
        "Raw pixels (reference)",
        "aligned",
    ):
        assert figure in text, figure
    assert "gpu" not in text


def test_decisions_by_score_have_a_table(tmp_path, whole):
    point = ScorePointErrors(
        threshold=3.21, claimed_fmr=1e-2, fmr=0.0125, fnmr=0.0467, false_matches=38,
        supported=True, fmr_interval=[0.0075, 0.0204], fnmr_interval=[0.0251, 0.0752],
        conclusive_fnmr=0.0222, search=SearchErrors(0.0112, 0.0567, supported=False),
    )  # fmt: skip
    rare = dataclasses.replace(point, supported=False, fmr_interval=None, search=None)
    scores = ScoreFigures(0.0246, 0.0013, 0.0031, {"fmr_1e-2": point, "fmr_1e-6": rare})
    failures = {
        "failures": {"no_iris": 2}, "failure_rate": 0.01, "points": {},
        "card_points": {"fmr_1e-2": {"gfar": 0.01, "gfrr": 0.0789}},
    }  # fmt: skip
    crop = np.zeros((8, 8), np.uint8)
    by_score = dataclasses.replace(
        ROWS[0], metrics=dataclasses.replace(ROWS[0].metrics, scores=scores), model="scoring",
        generalised=failures,
    )  # fmt: skip
    pairs = [ComparedPair(("a", "b"), score, (crop, crop)) for score in (-16.0, 7.128)]
    worst = WorstPairs("scoring", pairs, [], SCORES)
    _, _, text = written(tmp_path, rows=[by_score, ROWS[1]], worst=[worst])
    assert "fmr_1e-2 3.210 1.25 0.75–2.04 4.67 2.51–7.52 2.22 7.89 1.12 few probes 5.67" in text
    assert "fmr_1e-6 3.210 – 4.67 2.51–7.52 2.22 – – –" in text
    assert "the EER of all others is 0.31 %" in text
    assert "2.46 % of the genuine and 0.13 % of the impostor comparisons" in text
    assert f"Compared by score: {by_score.label}; by similarity: {ROWS[1].label}." in text
    assert "inconclusive a and b" in text and "7.13 a and b" in text
    # It leads: before curves and thresholds that come from these images.
    assert text.index("Decisions by score") < text.index("Error trade-off")
    for scale in ("By score: ", "By similarity: "):
        assert scale in text
    assert "By score: " not in whole[2]
    assert "over claim" not in whole[2]  # of models without scores


def test_page_needs_nothing_else(whole):
    source, page, _ = whole
    assert not page.tags & {"link", "iframe", "object"}
    assert not re.search(r"https?:|@import|url\(|<script [^>]*src|fetch\(|XMLHttp", source)
    # DET, CMC, histograms of 4 models, loss, validation EER, 2 crops.
    assert len(page.images) == 2 + 4 + 2 + 2
    for image in page.images:
        assert image["alt"]
        head, data = image["src"].split(",")
        assert head == "data:image/png;base64"
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 0) is not None


def test_crops_are_shown_as_they_are(whole):
    _, page, _ = whole
    data = base64.b64decode(page.images[-1]["src"].split(",")[1])
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, np.full((8, 8), 200, np.uint8))


def test_colour_crops_are_shown_in_colour(tmp_path):
    red_left = np.zeros((64, 64, 3), np.uint8)  # RGB: red to the left, blue to the right
    red_left[:, :32, 0] = red_left[:, 32:, 2] = 200
    pairs = [ComparedPair(("a", "b"), 0.5, (red_left, red_left[:, ::-1]))]
    nothing = np.zeros((64, 64), np.float32)
    _, page, _ = written(
        tmp_path, crops=[red_left], worst=[WorstPairs("Teacher", pairs, [])],
        occlusion={"Teacher": [OcclusionMap("c", "d", red_left, 0.5, nothing, nothing)]},
    )  # fmt: skip
    shown = {image["alt"]: colours_of(image) for image in page.images}
    np.testing.assert_array_equal(shown["Crop 1"], red_left)
    for name in ("a", "c", "Saliency map of c against itself"):
        width = shown[name].shape[1]
        assert np.abs(shown[name][:, : width // 4] - [200, 0, 0]).max() <= 8
        assert np.abs(shown[name][:, 3 * width // 4 :] - [0, 0, 200]).max() <= 8
    assert np.abs(shown["b"][:, :16] - [0, 0, 200]).max() <= 8


def test_names_are_text_not_markup(whole, tmp_path):
    source, _, text = whole
    assert "Run <1>" in text
    assert html.escape("Student <A&B>") in source
    assert "Student <A&B>" not in source
    dollars = [ReportRow(r"cheap $\frac$ net", "float16", evaluation(0.1))]
    assert r"cheap $\frac$ net" in written(tmp_path, rows=dollars)[2]


def test_synthetic_results_are_labelled(tmp_path, whole):
    assert "Synthetic eyes: these figures say nothing about real ones" in whole[2]
    assert "ynthetic" not in written(tmp_path, synthetic=False)[2]


def test_verdict_is_in_the_first_section(whole):
    source, _, _ = whole
    assert source.index(html.escape(verdict(ROWS))) < source.index("<table")


def test_parts_that_a_run_may_lack(tmp_path):
    rows = [ReportRow("Model", "float16", evaluation(0.1))]
    _, page, text = written(tmp_path, rows=rows, curves=(), crops=(), splits={}, failures={})
    assert len(page.images) == 3
    assert "Images without a crop, all splits: 0." in text
    assert "confidence" not in text
    assert "10.00" in text


def test_perfect_and_constant_models_can_be_drawn(tmp_path, rows_of, recwarn):
    rows = rows_of([(f"p{i // 2}", "L") for i in range(6)])
    perfect = evaluate_embeddings(np.repeat(np.eye(3), 2, axis=0), rows, matcher=Matcher()).metrics
    constant = evaluate_embeddings(np.tile([1.0, 0, 0], (6, 1)), rows, matcher=Matcher()).metrics
    lines = [ReportRow("Perfect", "float32", perfect), ReportRow("Constant", "float32", constant)]
    _, _, text = written(tmp_path, rows=lines)
    assert "0.00" in text
    assert "50.00" in text
    assert "All scores of Constant, float32 are the same: the embeddings have collapsed" in text
    assert [str(warning.message) for warning in recwarn] == []


def test_a_report_of_nothing(tmp_path):
    with pytest.raises(EvaluationError, match="at least one evaluated model"):
        write_report(tmp_path / "report.html", make_report(rows=[]))
    assert list(tmp_path.iterdir()) == []


def test_terminal_table():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(format_table(ROWS, "Generated eyes, test split"))
    text = console.export_text()
    for figure in (
        "Generated eyes, test split",
        "Student <A&B>",
        "4.15",
        "3.10–5.05",
        "87.65",
        "91.23",
        "6.00",
        "4.0",
        "Raw pixels (reference)",
        "90 % confidence",
    ):
        assert figure in text, figure


def test_terminal_table_of_a_name_with_brackets():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(format_table([ReportRow("a [bold] b", "", evaluation(0.1))]))
    text = console.export_text()
    assert "a [bold] b" in text
    assert "confidence" not in text


@pytest.fixture
def rich(rows_of, population):
    """A line with all that can be known of a model."""
    embeddings, rows = population(6, 4)
    result = evaluate_embeddings(
        embeddings, rows, resamples=10, matcher=Matcher()
    ).metrics.to_json()
    # As with ten thousand times the comparisons: the strictest point only is not supported.
    for name, point in result["operating_points"].items():
        point["supported"] = name != "fmr_1e-5"
        result["metrics"][f"fnmr_{name}"] = point["fnmr"] if point["supported"] else None
    result["metrics"]["fnmr_fmr_1e-4"] = 0.4321
    result["intervals"]["bounds"] |= {
        "fnir_fpir_1e-1": [0.1512, 0.2134], "auc": [0.98212, 0.99], "d_prime": [2.1, 2.5678],
    }  # fmt: skip
    result["open_set"]["rule_of_30"] = {"fpir_1e-1": True, "fpir_1e-2": False}
    result["metrics"] |= {"fnir_fpir_1e-1": 0.1928, "fnir_fpir_1e-2": 0.5647}
    result["metrics"] |= {"auc": 0.98765, "d_prime": 2.34567}
    rates = {"eer": 0.1, "far_1e-2": 0.2468, "far_1e-3": 0.3}
    part = {
        "genuine_comparisons": 1357,
        "eer": 0.0718,
        "fmr": rates | {"far_1e-2": 0.0093},
        "fnmr": rates,
    }
    slices = {
        "eye": {"L": part, "R": part},
        "dataset": {},
        "dilation": {"median_difference": 0.1, "same": part, "different": part | {"fnmr": None}},
        "quality": {
            "usable_iris_area": {
                "quartiles": [rates | {"far_1e-2": rate} for rate in (0.81, 0.72, 0.63)] + [None],
                "discard": [{"discarded": share, "fnmr": rates} for share in (0.0, 0.5)],
            }
        },
    }
    generalised = {
        "failures": {"occluded": 3, "no_pupil": 4},
        "failure_rate": 0.0127,
        "points": {
            "eer": {"gfar": 0.0456, "gfrr": 0.0789},
            "fmr_1e-4": {"gfar": 0.00012345, "gfrr": 0.4444},
        },
    }
    return ReportRow(
        "Model",
        "int8",
        Metrics.from_json(result),
        2**20,
        parameters=3_087_654,
        macs=1_234_560_000,
        generalised=generalised,
        slices=slices,
    )


def tables_of(source):
    """Texts of the cells, by line, by the name of the table."""
    tables = {}
    for name, content in re.findall(r'<table [^>]*aria-label="(.*?)">(.*?)</table>', source, re.S):
        lines = re.findall(r"<tr.*?>(.*?)</tr>", content, re.S)
        cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line, re.S) for line in lines]
        tables[name] = [[re.sub(r"<.*?>", "", cell) for cell in line] for line in cells]
    return tables


def test_tables_of_all_that_is_known(rich, tmp_path):
    source, page, text = written(tmp_path, rows=[rich], curves=(), crops=())
    tables = tables_of(source)
    assert "7 failures to extract, 1.27 % of the images (no_pupil 4, occluded 3)" in text
    heads, line = tables["Verification"]
    found = dict(zip(heads, line, strict=True))
    assert found["FNMR@FMR\n1e-4 (%)"].startswith("43.21")
    assert found["FNMR@FMR\n1e-5 (%)"] == "–"
    assert (found["AUC"], found["d′"]) == ("0.9877 0.9821–0.9900", "2.346 2.100–2.568")
    assert "rule of 30" in text
    points = {line[2]: line for line in tables["Operating points"][1:]}
    assert list(points) == ["EER", "FMR 1e-2", "FMR 1e-3", "FMR 1e-4"]
    assert points["EER"][-2:] == ["4.56", "7.89"]
    assert points["FMR 1e-2"][-2:] == ["–", "–"]
    assert points["FMR 1e-4"][-2:] == ["0.0123", "44.44"]
    threshold = rich.metrics.operating_points["fmr_1e-3"].threshold
    assert points["FMR 1e-3"][3] == f"{threshold:.4f}"
    assert tables["Identification"][1][-2:] == ["19.28 15.12–21.34", "56.47 few probes"]
    assert tables["Cost"][1] == ["Model", "int8", "1.00", "3.088", "1,234.6"]
    assert [line[2:] for line in tables["Slices"][1:]] == [
        ["eye: L", "1,357", "7.18", "0.93", "24.68"],
        ["eye: R", "1,357", "7.18", "0.93", "24.68"],
        ["dilation: same", "1,357", "7.18", "0.93", "24.68"],
        ["dilation: different", "1,357", "7.18", "0.93", "–"],
    ]
    assert tables["FNMR by quality"][1][2:] == ["usable iris area", "81.00", "72.00", "63.00", "–"]
    assert len(page.images) == 4  # DET, CMC, histogram, error versus discard
    assert "ms" not in tables["Results"][0]
    assert "Latency" not in text


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (0.0, "0.00"),
        (9.994e-6, "0.000999"),
        (9.87e-6, "0.000987"),
        (0.0000993, "0.00993"),
        (0.00999, "0.999"),
        (0.0123456, "1.23"),
        (0.5, "50.00"),
    ],
)
def test_small_rates_of_false_matches_are_not_rounded_away(rich, tmp_path, rate, shown):
    content = rich.metrics.to_json()
    content["operating_points"]["fmr_1e-4"]["fmr"] = rate
    row = dataclasses.replace(rich, metrics=Metrics.from_json(content))
    source, _, _ = written(tmp_path, rows=[row], curves=(), crops=())
    heads, *lines = tables_of(source)["Operating points"]
    assert dict(zip(heads, lines[-1], strict=True))["FMR (%)"] == shown


def test_latency_is_shown_with_its_runs_and_machine(tmp_path):
    timed = dataclasses.replace(ROWS[0], latency_p95_ms=35.678, latency_runs=1200)
    source, _, text = written(tmp_path, rows=[timed, dataclasses.replace(ROWS[1], macs=10**6)])
    heads, first, second = tables_of(source)["Cost"]
    assert heads[-2:] == ["latency\np50 (ms)", "latency\np95 (ms)"]
    assert first == ["Teacher", "float32", "91.00", "–", "–", "31.46", "35.68"]
    assert second[-2:] == ["3.99", "–"]
    assert "one thread of this host (A Processor) with LiteRT" in text
    assert "of 1,200 runs" in text


def test_failures_are_told_though_references_come_first(rich, tmp_path):
    reference = dataclasses.replace(rich, generalised=None, reference=True)
    assert "7 failures to extract, 1.27 %" in written(tmp_path, rows=[reference, rich])[2]


def test_the_det_curve_reaches_as_far_as_the_comparisons_support(rich):
    assert lowest_fmr(*(row.metrics for row in [*ROWS, rich])) == 1e-4 / 2
    assert lowest_fmr(*(row.metrics for row in ROWS)) == 0.0005


def test_columns_are_sorted_by_unrounded_numbers(rich, tmp_path):
    source, _, _ = written(tmp_path, rows=[rich])
    assert '<th scope="col" data-numeric>EER (%)</th>' in source
    assert f'data-sort="{rich.metrics.eer!r}"' in source
    assert 'data-sort="3087654"' in source
    for text in re.findall(r"<td [^>]*>–", source):
        assert "data-sort" not in text


def test_listed_pairs_have_no_identification(rich, tmp_path):
    content = rich.metrics.to_json()
    content["metrics"]["cmc_1"] = None
    content["curves"]["cmc"] = []
    row = dataclasses.replace(rich, metrics=Metrics.from_json(content))
    source, _, _ = written(tmp_path, rows=[row], curves=(), crops=())
    assert "Identification" not in tables_of(source)
    assert "CMC curves by rank" not in source


def test_the_page_says_what_was_compared_by_protocol(tmp_path):
    for protocol, words in (
        ("all-pairs", "left with right eyes included"),
        ("same-eye", "left with left"),
        ("across-datasets", "as impostors"),
        ("pair-lists", "Only the listed comparisons"),
    ):
        row = ReportRow("Model", "", evaluation(0.1, protocol=protocol))
        _, _, text = written(tmp_path, rows=[row])
        assert words in text
        assert ("left with right eyes included" in text) == (protocol == "all-pairs")
        assert "Raw pixels" not in text


def test_differences_say_what_is_better(tmp_path):
    differences = {
        "Other": {
            "eer": Difference(-0.0123, [-0.02, -0.01], True),
            "cmc_1": Difference(-0.05, [-0.09, -0.01], True),
            "fnmr_fmr_1e-2": Difference(0.01, [-0.01, 0.03], False),
            "cmc_5": Difference(0.0, None, False),
            "auc": Difference(0.00126, [0.0002, 0.003], True),
            "d_prime": Difference(-0.25, [-0.5, -0.1], True),
        }
    }
    source, _, text = written(tmp_path, differences=differences)
    assert f"Figure of the model minus that of {ROWS[0].model}, in percentage" in text
    assert tables_of(source)["Differences"][1:] == [
        ["Other", "EER", "-1.23", "-2.00 to -1.00", "better"],
        ["Other", "FNMR@FMR 1e-2", "+1.00", "-1.00 to +3.00", "no difference shown"],
        ["Other", "AUC", "+0.0013", "+0.0002 to +0.0030", "better"],
        ["Other", "d′", "-0.250", "-0.500 to -0.100", "worse"],
        ["Other", "CMC@1", "-5.00", "-9.00 to -1.00", "worse"],
        ["Other", "CMC@5", "+0.00", "–", "no difference shown"],
    ]
    _, _, text = written(tmp_path, differences=differences, compared_with="First, float32")
    assert "Figure of the model minus that of First, float32, in percentage points" in text


def test_teachers_stand_with_their_errors_and_their_students_distance(tmp_path):
    taught = [
        TaughtModel("pupil", "master", 0.0123, 0.4567, 0.8768),
        TaughtModel("other", "x.keras", 0.5, None),
    ]
    source, _, _ = written(tmp_path, taught=taught)
    assert tables_of(source)["Teachers"][1:] == [
        ["pupil", "master", "1.23", "0.457", "0.877"],
        ["other", "x.keras", "50.00", "–", "–"],
    ]
    source, _, _ = written(tmp_path)
    assert "Teachers" not in tables_of(source)


def test_small_rates_do_not_break_at_their_hyphen(tmp_path):
    source, _, _ = written(tmp_path, conclusion="A-b: FNMR 3 % at FMR 1e-4.", notes=["<1e-5"])
    assert 'at FMR <span class="whole">1e-4</span>.' in source
    assert '&lt;<span class="whole">1e-5</span>' in source


@pytest.mark.parametrize("synthetic", [True, False])
def test_worst_pairs_are_shown_with_score_and_names(tmp_path, synthetic):
    def pair(score, shape):
        ramp = np.linspace(0, 255, shape[1]).astype(np.uint8)
        crop = np.broadcast_to(ramp, shape)
        return ComparedPair(("a/<1>.png", "b/2.png"), score, (crop, crop[:, ::-1]))

    worst = WorstPairs("Teacher", [pair(-0.12344, (320, 300))], [pair(0.98765, (64, 512))])
    _, page, text = written(tmp_path, worst=[worst], crops=(), synthetic=synthetic)
    assert "-0.1234 a/<1>.png and b/2.png" in text
    assert "0.9877 a/<1>.png" in text
    assert ("Synthetic eyes, ROI mode" in text) == synthetic
    assert ("Crops of real eyes: check the terms" in text) != synthetic
    pictures = [image for image in page.images if image["src"].startswith("data:image/jpeg")]
    assert [image["alt"] for image in pictures] == ["a/<1>.png", "b/2.png"] * 2
    shown = [
        cv2.imdecode(np.frombuffer(base64.b64decode(image["src"].split(",")[1]), np.uint8), 0)
        for image in pictures
    ]
    assert [crop.shape for crop in shown] == [(160, 150)] * 2 + [(48, 384)] * 2
    # The second picture of a pair is the second crop: dark to the right.
    assert shown[0][:, 0].mean() < 20 < 230 < shown[1][:, 0].mean()


def test_one_strip_among_squares_is_no_reason_to_stack_them(tmp_path):
    square, strip = np.zeros((20, 20), np.uint8), np.zeros((20, 60), np.uint8)
    pairs = [ComparedPair(("a", "b"), 0.5, crops) for crops in ((square, strip), (square, square))]
    source, _, _ = written(tmp_path, worst=[WorstPairs("Teacher", pairs, pairs[:1])])
    assert source.count('class="pairs square"') == 2
    pairs = [ComparedPair(("a", "b"), 0.5, (strip, strip))]
    source, _, _ = written(tmp_path, worst=[WorstPairs("Teacher", pairs, pairs)])
    assert source.count('class="pairs strip"') == 2


def colours_of(image):
    data = np.frombuffer(base64.b64decode(image["src"].split(",")[1]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(int)


@pytest.mark.parametrize("shape", [(64, 64), (320, 320), (32, 128)])
def test_occlusion_maps_lie_over_the_crop(tmp_path, shape):
    left = slice(None), slice(0, shape[1] // 2)
    drop = np.zeros(shape, np.float32)
    drop[left] = 0.25
    found = OcclusionMap(
        "a/<1>.png", "b/2.png", np.full(shape, 120, np.uint8), 0.81234, drop, -drop / 2
    )
    _, page, text = written(tmp_path, occlusion={"Teacher": [found]}, crops=())
    assert "Saliency maps" in text
    assert (
        "a/<1>.png: with itself 1, down by up to 0.2500 ; with b/2.png 0.8123 , down by up to "
        "0.0000 , up by up to 0.1250"
    ) in text
    crop, own, genuine = (
        colours_of(image) for image in page.images if image["src"].startswith("data:image/jpeg")
    )
    width = own.shape[1]
    assert own.shape == genuine.shape
    assert np.ptp(crop) <= 2
    for picture in (own, genuine):  # nothing to the right
        assert np.abs(picture[:, 3 * width // 4 :] - 120).max() <= 2
    # Four fifths of E69F00, two fifths of 56B4E9.
    assert own[:, : width // 4].mean((0, 1)) == pytest.approx([208, 151.2, 24], abs=3)
    assert genuine[:, : width // 4].mean((0, 1)) == pytest.approx([106.4, 144, 165.2], abs=3)


def test_a_model_that_ignores_its_input_has_maps_all_the_same(tmp_path):
    zero = np.zeros((16, 16), np.float32)
    found = OcclusionMap("a", "b", np.full((16, 16), 9, np.uint8), 1.0, zero, zero)
    assert "0.0000" in written(tmp_path, occlusion={"Teacher": [found]})[2]


def test_a_given_conclusion_is_the_verdict(tmp_path):
    source, _, text = written(tmp_path, conclusion="One is better than <two>.")
    assert "One is better than <two>." in text
    assert html.escape(verdict(ROWS)) not in source


def test_verdict_names_best_and_best_small_model():
    assert verdict(ROWS) == (
        f"Lowest error: Teacher, float32, EER 2.12{SPACE}% (90{SPACE}% CI 1.01–3.03) at "
        f"91.00{SPACE}MiB. Best of the smallest files: Student <A&B>, float16, EER 4.15{SPACE}% "
        f"(90{SPACE}% CI 3.10–5.05) at 6.00{SPACE}MiB. All trained models are clearly better than "
        f"the references (Untrained network 35.00{SPACE}% and Raw pixels 30.00{SPACE}%)."
    )


@pytest.mark.parametrize(
    ("bounds", "clause"),
    [
        ([0.1, 0.279], "All trained models are clearly better"),
        ([0.1, 0.281], "1 of 2 lines of trained models are clearly better"),
    ],
)
def test_clearly_better_means_that_intervals_do_not_touch(bounds, clause):
    rows = [ROWS[0], ReportRow("B", "float32", evaluation(0.2, bounds)), ROWS[-1]]
    assert clause in verdict(rows)


def test_verdict_without_success_references_or_models():
    weak = ReportRow("B", "float32", evaluation(0.31))
    assert "No trained model is clearly better than the references" in verdict([weak, ROWS[-1]])
    assert verdict([weak]) == f"Lowest error: B, float32, EER 31.00{SPACE}%."
    assert verdict([ROWS[-1]]) == "No trained model was evaluated."


def test_history_is_read(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss,margin,val_eer\n1,0.5,0.4,0.31\n2,0.25,0.4,0.2\n")
    assert TrainingCurve.read("M", path) == TrainingCurve("M", [1, 2], [0.5, 0.25], [0.31, 0.2])
    path.write_text("epoch,loss\n1,0.5\n")
    assert TrainingCurve.read("M", path) == TrainingCurve("M", [1], [0.5], [])


@pytest.mark.parametrize("text", ["epoch,los\n1,2\n", "epoch,loss\n1,high\n", "epoch,loss\n1\n"])
def test_broken_history(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=r"history\.csv: the columns"):
        TrainingCurve.read("M", path)


def test_no_history(tmp_path):
    with pytest.raises(EvaluationError, match="there is no such history"):
        TrainingCurve.read("M", tmp_path / "history.csv")


def test_splits_are_counted(rows_of):
    rows = rows_of([("a", "L"), ("a", "R"), ("a", "R"), ("b", "L")])
    rows = [
        dataclasses.replace(row, split="test" if row.subject == "b" else "train") for row in rows
    ]
    assert count_splits(rows) == {
        "train": {"subjects": 1, "identities": 2, "images": 3},
        "test": {"subjects": 1, "identities": 1, "images": 1},
    }


def test_a_table_for_the_terminal_and_a_page_s_modules_do_not_load_matplotlib():
    code = (
        "import sys, iris_tf.report.terminal_table, iris_tf.report.report_page; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
