"""The command of the distillation table, with networks that train in seconds."""

import contextlib
import io
import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tiny_network
from ai_edge_litert.interpreter import Interpreter

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.imaging.images import resize_roi
from iris_tf.metrics.fold_accuracy import fold_figures
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.errors import EvaluationError, RecipeError
from iris_tf.training.model_recipes import model_recipes
from iris_tf.training.run_folder import RunFolder

PIPELINES = Path(__file__).parents[2] / "pipelines"
RECIPE = """
run: {run}
dataset:
  images: {images}
  layout: folder
  segmenter: none
  roi_mode: whole
  channels: 1
  split: {folder}/split.csv
  folds: {folder}/pairs.txt
training:
  epochs: 1
  warm_epochs: 0
  unfreeze_epochs: 0
  objective: arcface
  network: {{name: {network}, input_size: [32, 48], embedding_size: 8, weights: none}}
  batch: {{layout: balanced, groups: 8, images_per_identity: 2, steps_per_epoch: 2}}
  optimizer: {{groups: {{centres: {{maximum: 0.01, weight_decay: 0.0}}}}}}
repeats: 2
models:
  teacher: {{}}
  plain: {{}}
  afl:
    distillation:
      teacher: teacher
      distiller: afl
      features: {{stride8: stride4}}  # of 8 and of 6 channels
      term_weights: gradient_norm
    optimizer:
      groups: {{projections: {{maximum: 0.01, weight_decay: 0.0}}}}
  relational:
    distillation: {{teacher: {folder}/foreign.keras, distiller: relational}}
precisions: [float32]
latency: {{threads: [1], runs: 50}}
"""


SPLIT = {"train": "abcdef", "val": "gh", "test": "ijkl"}
# Two folds of two genuine and two impostor comparisons.
PAIRS = """2 2
i 1 2
j 1 3
i 1 j 2
i 3 j 3
k 2 3
l 1 2
k 1 l 1
k 2 l 3
"""


def make_faces(folder):
    """Noise, of which each identity has its own, with more noise in each of three images."""
    rng = np.random.default_rng(0)
    for name in "".join(SPLIT.values()):
        own = rng.normal(128, 40, (48, 64))
        (folder / "faces" / name).mkdir(parents=True)
        for number in (1, 2, 3):
            image = np.clip(own + rng.normal(0, 20, own.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / "faces" / name / f"{name}_{number:04d}.png"), image)
    rows = [f"{name},{split}" for split, names in SPLIT.items() for name in names]
    (folder / "split.csv").write_text("\n".join(["subject,split", *rows, ""]))
    (folder / "pairs.txt").write_text(PAIRS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, printed = tmp_path_factory.mktemp("runs"), io.StringIO()
    recipe = folder / "recipe.yaml"
    make_faces(folder)
    settings = {"run": folder / "tables", "images": folder / "faces", "folder": folder}
    recipe.write_text(RECIPE.format(**settings, network=tiny_network.NAME))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        foreign = build_embedding_model(
            tiny_network.NAME, input_size=(64, 64), embedding_size=4, weights="none", channels=3
        )
        foreign.save(folder / "foreign.keras")
        patch.syspath_prepend(str(PIPELINES))
        from distillation_tables import main

        main(recipe)
    return folder / "tables", printed.getvalue()


def test_the_table_has_all_models(finished):
    folder, printed = finished
    table = (folder / "distillation.md").read_text()
    assert table in printed
    lines = table.splitlines()
    foreign = f"{folder.parent / 'foreign.keras'} (teacher, float32)"
    names = ["plain", foreign, "teacher", "afl", "relational"]
    assert [line.split(" | ")[0] for line in lines[4:9]] == [f"| {name}" for name in names]
    distance, alignment = map(float, lines[7].split("|")[-3:-1])
    assert 0 <= distance <= 2
    assert 0 <= alignment <= 1
    assert [cell.strip() for cell in lines[6].split("|")[-3:-1]] == ["–", "–"]
    assert lines[8].split("|")[-3].strip() == "–"  # embeddings of different sizes
    assert 0 <= float(lines[8].split("|")[-2]) <= 1
    assert "Means of 2 trainings" in table
    seeds = {RunFolder(folder / name).recipe().seed for name in ("afl", "afl_2")}
    assert seeds == {0, 1}
    assert not (folder / "teacher_2").exists()


def test_the_table_has_figures_of_the_folds(finished):
    folder, _ = finished
    found = json.loads((folder / "distillation" / "metrics.json").read_text())
    results = {one["model"]["name"].split("_float32")[0]: one for one in (found, *found["others"])}
    table = (folder / "distillation.md").read_text()
    lines = table[table.index("| model | accuracy") :].splitlines()[2:7]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    accuracies = {
        name: np.mean([results[one]["folds"]["accuracies"] for one in own], axis=0)
        for name, own in (("plain", ("plain", "plain_2")), ("teacher", ("teacher",)))
    }
    assert len(accuracies["plain"]) == 2
    assert cells[0][1].startswith(f"{100 * accuracies['plain'].mean():.2f} ± ")
    assert cells[2][1].startswith(f"{100 * accuracies['teacher'].mean():.2f} ± ")
    difference = accuracies["teacher"] - accuracies["plain"]
    assert cells[2][2].startswith(f"{100 * difference.mean():+.2f} ± ")
    assert [row[2] for row in cells].count("–") == 1
    one = results["teacher"]["folds"]
    assert cells[2][3:] == [f"{100 * one[figure]:.2f}" for figure in ("f1", "far", "frr")]
    assert cells[1][1:] == foreign_figures(folder)
    assert ", test split, pairs of pairs.txt\n" in table
    assert found["folds"]["comparisons"] == 8
    report = (folder / "report.html").read_text()
    assert "Accuracy over folds" in report
    assert "are of the pairs that pairs.txt lists" in report


def foreign_figures(folder):
    """Cells of the external teacher, from its own embeddings of the listed images."""
    model = keras.models.load_model(folder.parent / "foreign.keras")

    def embedding(name, number):
        path = folder.parent / "faces" / name / f"{name}_{int(number):04d}.png"
        grey = resize_roi(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (64, 64))
        return model(np.repeat(grey[None, :, :, None], 3, axis=3).astype(np.float32)).numpy()[0]

    scores, genuine = [], []
    for line in PAIRS.splitlines()[1:]:
        fields = line.split()
        genuine.append(len(fields) == 3)
        first, second = fields[:2], fields[-2:] if len(fields) == 4 else [fields[0], fields[2]]
        scores.append(embedding(*first) @ embedding(*second))
    found = fold_figures(np.array(scores), np.array(genuine), np.repeat([0, 1], 4))
    metrics = json.loads((folder / "distillation" / "metrics.json").read_text())
    others = {one["model"]["name"]: one for one in metrics["others"]}
    plain = [metrics["folds"], others["plain_2_float32.tflite"]["folds"]]
    change = found.accuracies - np.mean([one["accuracies"] for one in plain], axis=0)
    error = np.std(change, ddof=1) / np.sqrt(2)
    return [
        f"{100 * found.accuracy:.2f} ± {100 * found.standard_error:.2f}",
        f"{100 * change.mean():+.2f} ± {100 * error:.2f}",
        *(f"{100 * getattr(found, figure):.2f}" for figure in ("f1", "far", "frr")),
    ]


def test_an_external_teacher_has_a_row_in_the_report(finished):
    folder, _ = finished
    teachers = json.loads((folder / "teachers.json").read_text())["teachers"]
    [(path, found)] = teachers.items()
    assert path == str(folder.parent / "foreign.keras")
    page = (folder / "report.html").read_text()
    row = page[page.index("foreign.keras (teacher)</th>") :]
    assert f">{100 * found['metrics']['eer']:.2f} <" in row[: row.index("</tr>")]


def test_a_list_that_does_not_fit_is_refused_before_any_training(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    monkeypatch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
    from distillation_tables import main

    make_faces(tmp_path)
    build_embedding_model(
        tiny_network.NAME, input_size=(64, 64), embedding_size=4, weights="none", channels=3
    ).save(tmp_path / "foreign.keras")
    recipe = tmp_path / "recipe.yaml"
    settings = {"run": tmp_path / "tables", "images": tmp_path / "faces", "folder": tmp_path}
    recipe.write_text(RECIPE.format(**settings, network=tiny_network.NAME))
    for text, message in (
        (PAIRS.replace("i 1 2", "a 1 2"), r"line 2: there is no image a/a_0001 among those eval"),
        ("1 2\n" + "".join(PAIRS.splitlines(keepends=True)[1:5]), "has one fold"),
    ):
        (tmp_path / "pairs.txt").write_text(text)
        with pytest.raises(EvaluationError, match=message):
            main(recipe)
        assert not (tmp_path / "tables" / "plain").exists()


def test_figures_of_the_table_are_means_over_trainings(finished):
    folder, _ = finished
    found = json.loads((folder / "distillation" / "metrics.json").read_text())
    results = {one["model"]["name"].split("_float32")[0]: one for one in (found, *found["others"])}
    eers = [results[name]["evaluation"]["metrics"]["eer"] for name in ("afl", "afl_2")]
    line = (folder / "distillation.md").read_text().splitlines()[7]
    assert f"| {50 * sum(eers):.2f} (" in line
    assert f" [{100 * eers[0]:.2f}, {100 * eers[1]:.2f}] |" in line


def test_no_released_file_holds_centres_or_projections(finished):
    from iris_tf.networks.embed_rois import load_embedding_model

    folder, _ = finished
    plain, afl = (
        load_embedding_model(folder / name / "checkpoints" / "best.keras")
        for name in ("plain", "afl")
    )
    assert [v.path for v in plain.variables] == [v.path for v in afl.variables]
    sizes = [
        (folder / n / "models" / f"{n}_float32.tflite").stat().st_size for n in ("plain", "afl")
    ]
    assert abs(sizes[0] - sizes[1]) < 100


def test_no_tensor_of_a_released_file_has_the_shape_of_centres_or_projections(finished):
    folder, _ = finished
    with np.load(RunFolder(folder / "afl").state_weights()) as trained:
        trained = {trained[name].shape for name in trained.files}
    with np.load(folder / "afl" / "checkpoints" / "class_centres.npz") as stored:
        classes = len(stored["names"])
    unwanted = {(classes, 8), (8, 6)}
    assert unwanted < trained
    shapes = {}
    for name in ("teacher", "plain", "afl"):
        file = folder / name / "models" / f"{name}_float32.tflite"
        tensors = Interpreter(model_path=str(file)).get_tensor_details()
        shapes[name] = [tuple(int(n) for n in one["shape"] if n > 1) for one in tensors]
        assert (8, 8) in shapes[name]  # of the head, which is D by channels
        assert not {*shapes[name]} & {*unwanted, *(shape[::-1] for shape in unwanted)}
    assert shapes["afl"] == shapes["plain"] == shapes["teacher"]


@pytest.mark.parametrize("file", ["irises", "faces", "afl", "hybrid"])
def test_shipped_recipes_fit_together(file):
    from iris_tf.training.check_training import _check_pair

    overrides = [] if file == "irises" else ["dataset.images=faces"]
    recipe = load_recipe(PIPELINES / f"distillation_{file}.yaml", PipelineRecipe, overrides)
    recipes = model_recipes(recipe)
    by_run = {one.run: one for one in recipes.values()}
    taught = [one for one in recipes.values() if one.distillation.teacher]
    assert "plain" in recipes
    assert taught
    for one in taught:
        _check_pair(one, by_run[one.distillation.teacher])


def test_a_recipe_without_a_plain_student_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    from distillation_tables import main

    with pytest.raises(RecipeError, match="names no model plain"):
        main(PIPELINES / "paper_tables_demo.yaml", [f"run={tmp_path / 'x'}"])
