import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iris_tf.benchmark.collection import import_results
from iris_tf.benchmark.schema import validate_result
from iris_tf.cli.app import app
from iris_tf.support.errors import BenchmarkError

# The same files are read by the tests of the Android app.
FIXTURES = Path(__file__).parents[2] / "android_demo" / "core" / "src" / "test" / "resources"
HOST, PHONE = FIXTURES / "host_result.json", FIXTURES / "phone_result.json"


def lines(folder):
    with open(folder / "latency.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_phone_and_host_rows_stand_side_by_side(tmp_path):
    found = import_results([HOST, PHONE], tmp_path)
    assert (found.added, found.results, found.rows) == (2, 2, 4)
    assert (found.invalid, found.failures) == (1, 1)
    table = lines(tmp_path)
    assert [line["threads"] for line in table] == ["2", "1", "1", "4"]
    assert [line["cpu"] for line in table] == ["Some CPU"] * 2 + ["Some SoC"] * 2
    assert table[2]["device"] == 'Maker "Model", 2'
    assert table[2]["invalid"] == "The app was in the background."
    assert table[0]["inference_median"] == "2.5" and table[0]["warmup_median"] == ""
    assert table[3]["warmup_count"] == "2"


def test_the_table_has_the_columns_of_the_phone_s_csv(tmp_path):
    import_results([PHONE], tmp_path)
    shared = PHONE.with_suffix(".csv").read_text(encoding="utf-8")
    assert (tmp_path / "latency.csv").read_text(encoding="utf-8") == shared


def test_the_page_says_what_must_not_be_overlooked(tmp_path):
    import_results([HOST, PHONE], tmp_path)
    page = (tmp_path / "latency.html").read_text(encoding="utf-8")
    for text in (
        "gpu, ran on cpu-xnnpack",
        "The app was in the background. The GPU delegate cannot run this model.",
        "thermal status moderate",
        "This Android version has no NNAPI.",
        "Maker &quot;Model&quot;, 2 (Some SoC)",
    ):
        assert text in page


def test_the_page_for_browsers_stands_beside_them(tmp_path):
    # Written by the page in headless Chromium, which has no GPU.
    browser = Path(__file__).parents[1] / "fixtures" / "browser_result.json"
    found = import_results([HOST, browser], tmp_path)
    assert (found.rows, found.invalid, found.failures) == (5, 0, 0)
    table = [line for line in lines(tmp_path) if "web_demo" in line["created_by"]]
    requested = [(line["backend_requested"], line["threads"]) for line in table]
    assert requested == [("wasm-xnnpack", "1"), ("wasm-xnnpack", "2"), ("webgpu", "1")]
    assert {line["backend"] for line in table} == {"wasm-xnnpack"}
    page = (tmp_path / "latency.html").read_text(encoding="utf-8")
    assert "webgpu, ran on wasm-xnnpack" in page
    assert "WebGPU found no GPU that it can use." in page


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("severe", "light", "severe"),
        ("light", "critical", "critical"),
        ("moderate", None, "moderate"),
        ("a name of tomorrow", "light", "light"),
        ("none", "none", None),
    ],
)
def test_a_phone_that_was_hot_at_either_end_of_a_row_is_told(tmp_path, start, end, said):
    result = json.loads(HOST.read_text(encoding="utf-8"))
    for row in result["rows"]:
        for at, name in (("start", start), ("end", end)):
            row[f"conditions_{at}"] = {} if name is None else {"thermal": name}
    path = tmp_path / "warm.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    import_results([path], tmp_path / "table")
    page = (tmp_path / "table" / "latency.html").read_text(encoding="utf-8")
    notes = page.count("The phone slowed itself down")
    assert notes == (0 if said is None else len(result["rows"]))
    assert said is None or f"(thermal status {said})" in page


def test_a_result_is_added_once_and_later_ones_join_it(tmp_path):
    assert import_results([HOST, HOST], tmp_path).added == 1
    found = import_results([HOST, PHONE], tmp_path)
    assert (found.added, found.results) == (1, 2)
    assert len(lines(tmp_path)) == 4


def test_kept_results_are_as_they_were(tmp_path):
    import_results([PHONE], tmp_path)
    (kept,) = (tmp_path / "results").iterdir()
    assert json.loads(kept.read_text()) == json.loads(PHONE.read_text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "schema is missing"),
        (json.dumps(json.loads(HOST.read_text()) | {"rows": []}), "rows is not a list"),
    ],
)
def test_a_broken_file_is_named_and_nothing_is_written(tmp_path, text, message):
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchmarkError, match=message) as error:
        import_results([HOST, path], tmp_path / "out")
    assert str(path) in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(failures={}), "failures is not a list"),
        (lambda r: r.update(failures=[1]), r"failures\[0\] is 1, not an object"),
        (lambda r: r["failures"][0].pop("reason"), r"failures\[0\].reason is missing"),
        (lambda r: r["failures"][0].update(threads=0), r"failures\[0\].threads is 0"),
        (lambda r: r["machine"].update(device=3), r"machine.device is 3"),
        (lambda r: r["rows"][0].update(invalid=True), r"rows\[0\].invalid is True"),
        (lambda r: r["rows"][0].update(conditions_end=5), r"rows\[0\].conditions_end is 5"),
        (lambda r: r["rows"][0]["conditions_end"].update(thermal=5), r"_end.thermal is 5"),
    ],
)
def test_optional_fields_are_checked_where_they_are(change, message):
    result = json.loads(PHONE.read_text())
    validate_result(result)
    change(result)
    with pytest.raises(BenchmarkError, match=message):
        validate_result(result)


def test_command_line(tmp_path):
    result = CliRunner().invoke(
        app, ["benchmark", "import", str(HOST), str(PHONE), "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert "2 of them new" in result.output
    assert "1 invalid" in result.output
