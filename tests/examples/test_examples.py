"""The examples run as they stand, the notebook with fewer eyes."""

import json
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = json.loads((EXAMPLES / "images_to_det_curve.ipynb").read_text("utf-8"))
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
FEWER = {"SUBJECTS": 3, "IMAGES": 2, "RESAMPLES": 20}


def run_script(monkeypatch, *arguments):
    script = EXAMPLES / "verify_two_eyes.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    runpy.run_path(str(script), run_name="__main__")


def test_the_script_decides_on_a_genuine_and_an_impostor_pair(monkeypatch, capsys):
    run_script(monkeypatch)
    genuine, impostor = capsys.readouterr().out.splitlines()
    assert genuine.startswith("S5000L00.jpg and S5000L01.jpg: same eye (score ")
    assert impostor.startswith("S5000L00.jpg and S5000R00.jpg: different eyes (score ")


def test_the_script_takes_two_images(monkeypatch, capsys, small_images):
    left = small_images / "000/L/S5000L00.jpg"
    run_script(monkeypatch, left, left)
    assert f"{left.name} and {left.name}: same eye (score " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="No usable iris"):
        run_script(monkeypatch, left, left.with_name("S5000L00_mask.png"))


def test_the_notebook_runs_from_images_to_a_det_curve(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = {}
    for cell in CELLS:
        exec(compile("".join(cell["source"]), "images_to_det_curve.ipynb", "exec"), names)
        if cell["metadata"].get("tags") == ["parameters"]:
            assert names.keys() >= FEWER.keys()
            names.update(FEWER)
    out = capsys.readouterr().out
    assert "of 12 images cropped" in out
    assert "released model: EER " in out and "raw pixels: EER " in out
    [plot] = tmp_path.glob("det_curve_*/det.png")
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert [text.get_text() for text in names["axes"].get_legend().get_texts()] == [
        "released model", "raw pixels",
    ]  # fmt: skip


def test_the_notebook_is_stored_without_outputs():
    for cell in CELLS:
        assert cell["outputs"] == [] and cell["execution_count"] is None
