import itertools
import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest

from iris_tf.data.manifest import read_manifest, write_manifest
from iris_tf.evaluation import evaluate_model as model_module
from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.evaluation.iriscode import IrisCodeBaseline, IrisCodes, hamming_distances
from iris_tf.evaluation.saliency import read_maps
from iris_tf.matching.matcher import Matcher
from iris_tf.pipelines import evaluation_stage
from iris_tf.pipelines.evaluation_stage import evaluate_and_report
from iris_tf.preparation import other_roi_modes
from iris_tf.support.errors import EvaluationError, ExtractionError, FailureReason, ModelError
from iris_tf.support.machine import package_version
from iris_tf.tflite.cost import model_cost


@pytest.fixture
def unrolled(small_dataset, tmp_path):
    """A dataset that says that its crops are strips."""
    shutil.copytree(small_dataset, tmp_path / "dataset")
    description = tmp_path / "dataset" / "dataset.json"
    content = json.loads(description.read_text())
    content["settings"]["roi_mode"] = "unrolled"
    description.write_text(json.dumps(content))
    return tmp_path / "dataset" / "manifest.csv"


def test_crops_of_another_roi_mode_that_cannot_be_cut_are_refused(
    unrolled, exported, trained_run, tmp_path
):
    def refused(model, problem):
        with pytest.raises(ModelError, match=f"roi_mode algorithm1.*unrolled.*{problem}"):
            evaluate_and_report(EvaluationRequest([model], [unrolled]), tmp_path)

    theirs = unrolled.parent / "algorithm1"
    theirs.mkdir()
    refused(trained_run, f"cut: {theirs}: is no folder of crops that were cut here; rename it")
    theirs.rmdir()
    shutil.rmtree(unrolled.parent / "segmentation")
    refused(
        exported / "mobile_float32.tflite", r"segmentation of .* was not kept.*into a new folder\.$"
    )
    assert not theirs.exists()
    assert not (tmp_path / "metrics.json").exists()


@pytest.fixture
def strips_model(exported, tmp_path):
    """The same network, whose card says that it takes strips."""
    folder = shutil.copytree(exported, tmp_path / "strips")
    card = json.loads((folder / "model_card.json").read_text())
    (folder / "model_card.json").write_text(json.dumps(card | {"roi_mode": "unrolled"}))
    return (folder / "mobile_float32.tflite").rename(folder / "strips.tflite")


def figures(models, manifest, split="test"):
    request = EvaluationRequest(models, [manifest], split, resamples=50)
    return evaluate_and_report(request, None).to_json()


def test_models_of_two_roi_modes_are_compared_on_one_dataset(
    small_dataset, exported, strips_model, tmp_path
):
    dataset = shutil.copytree(small_dataset, tmp_path / "dataset")
    crops = exported / "mobile_float32.tflite"
    names = {crops: "first", strips_model: "second"}
    alone = {
        crops: figures([crops], dataset / "manifest.csv"),
        strips_model: figures([strips_model], dataset / "unrolled" / "manifest.csv"),
    }
    for given in ("manifest.csv", "unrolled/manifest.csv"):
        for models in ([crops, strips_model], [strips_model, crops]):
            found = figures(models, dataset / given)
            for model, result in zip(models, [found, *found["others"]], strict=True):
                assert result["evaluation"] == alone[model]["evaluation"], names[model]
            difference = found["others"][0]["differences"]["eer"]["difference"]
            assert difference == pytest.approx(
                found["others"][0]["evaluation"]["metrics"]["eer"]
                - found["evaluation"]["metrics"]["eer"]
            )
    only = figures([strips_model], dataset / "manifest.csv")
    assert only["evaluation"] == alone[strips_model]["evaluation"]


def test_an_image_without_a_crop_for_one_model_is_a_failure_of_both(
    small_dataset, exported, strips_model, tmp_path, monkeypatch
):
    dataset = shutil.copytree(small_dataset, tmp_path / "dataset")
    rows = [row for row in read_manifest(dataset / "manifest.csv") if row.split == "test"]
    crop_roi, times = other_roi_modes.crop_roi, itertools.count()

    def refuse_one(*arguments):
        if next(times) == 5:
            raise ExtractionError(FailureReason.ROI_IS_WHOLE_IMAGE, "Too large.")
        return crop_roi(*arguments)

    monkeypatch.setattr(other_roi_modes, "crop_roi", refuse_one)
    write_manifest(dataset / "mine.csv", rows)  # labels and splits of one's own
    write_manifest(dataset / "manifest.csv", rows)
    models = [exported / "mobile_float32.tflite", strips_model]
    found = figures(models, dataset / "mine.csv")
    for result in (found, *found["others"]):
        assert result["evaluation"]["counts"]["images"] == len(rows) - 1
        assert result["generalised"]["failures"] == {"roi_is_whole_image": 1}


def test_a_file_without_a_card_is_evaluated_all_the_same(unrolled, exported, tmp_path):
    model = shutil.copy(exported / "mobile_float32.tflite", tmp_path)
    result = evaluate_and_report(EvaluationRequest([model], [unrolled]), tmp_path).to_json()
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    assert result["model"]["parameters"] == model_cost(model).parameters
    assert result["model"]["latency"] is None  # nobody asked for it


def test_a_run_is_called_by_its_folder(monkeypatch, tmp_path):
    """Its model is called best.keras, as that of every other run."""
    runs = [tmp_path / "a" / "mine", tmp_path / "b" / "mine", tmp_path / "other"]
    for run in runs:
        run.mkdir(parents=True)
    opened = types.SimpleNamespace(
        path=Path("checkpoints/best.keras"), channels=1, matcher=Matcher()
    )
    monkeypatch.setattr(model_module, "open_model", lambda path: opened)
    paths = [*runs, tmp_path / "checkpoints" / "best.keras"]
    found = model_module._open_models(paths, [], by_similarity=False)
    # Where names are not unique, they are as the user has typed them.
    assert [model.name for model in found] == [str(runs[0]), str(runs[1]), "other", "best.keras"]


def test_an_unknown_baseline_is_refused(unrolled, exported, tmp_path):
    with pytest.raises(EvaluationError, match=r"'daugman' is unknown; choose one of iriscode"):
        evaluate_and_report(
            EvaluationRequest([exported / "mobile_float32.tflite"], [unrolled], baseline="daugman"),
            tmp_path,
        )


def test_models_side_by_side(run_cli, small_dataset, exported, tmp_path):
    manifest, out = small_dataset / "manifest.csv", tmp_path / "out"
    models = [exported / f"mobile_{precision}.tflite" for precision in ("float32", "float16")]
    status, text, _ = run_cli(
        "evaluate", "--model", models[0], "--model", models[1], "--manifest", manifest,
        "--out", out, "--split", "all", "--resamples", 50, "--scores", tmp_path / "scores.npz",
        "--latency-runs", 0,
    )  # fmt: skip
    assert status == 0
    assert "mobile_float16.tflite, and its difference to the first:" in text
    found = json.loads((out / "metrics.json").read_text())
    assert [found["model"]["precision"], found["others"][0]["model"]["precision"]] == [
        "float32", "float16",
    ]  # fmt: skip
    other = found["others"][0]
    alone = evaluate_and_report(
        EvaluationRequest([models[1]], [manifest], "all", resamples=50), tmp_path
    ).to_json()
    counted = model_cost(models[1])
    assert (other["model"]["parameters"], other["model"]["macs"]) == (
        counted.parameters, counted.macs,
    )  # fmt: skip
    for part in ("model", "evaluation", "generalised", "slices"):
        assert other[part] == alone[part]
    difference = other["differences"]["eer"]
    assert difference["difference"] == pytest.approx(
        other["evaluation"]["metrics"]["eer"] - found["evaluation"]["metrics"]["eer"]
    )
    assert found["generalised"]["failures"] == {}
    assert found["generalised"]["points"]["eer"]["gfrr"] == pytest.approx(
        found["evaluation"]["metrics"]["eer"], abs=0.02
    )
    scores = np.load(tmp_path / "scores.npz")
    assert scores["models"].tolist() == ["mobile_float32.tflite", "mobile_float16.tflite"]
    counts = found["evaluation"]["counts"]
    assert scores["genuine_0"].sum() == counts["genuine_comparisons"]
    assert scores["impostor_1"].sum() == counts["impostor_comparisons"]
    page = (out / "report.html").read_text()
    assert page.count("Saliency maps of mobile_float") == 2
    assert list(read_maps(out / "occlusion.npz")) == scores["models"].tolist()
    without_maps = EvaluationRequest([models[0]], [manifest], "all", resamples=10)
    evaluate_and_report(without_maps, out)
    assert not (out / "occlusion.npz").exists()
    assert '<td data-label="precision" class="left">float16</td>' in page
    assert "minus that of mobile_float32.tflite" in page


def test_latency_is_measured_on_one_thread(run_cli, small_dataset, exported, tmp_path):
    def command(runs):
        return run_cli(
            "evaluate", "--model", exported / "mobile_float16.tflite", "--out", tmp_path / "out",
            "--manifest", small_dataset / "manifest.csv", "--latency-runs", runs,
            "--occlusion-eyes", 0,
        )  # fmt: skip

    status, _, err = command(10)
    assert status == 2
    assert "runs is 10; at least 50" in err
    assert not (tmp_path / "out").exists()
    status, text, err = command(60)
    assert status == 0
    assert "Occluding" not in err
    latency = json.loads((tmp_path / "out" / "metrics.json").read_text())["model"]["latency"]
    assert (latency["runs"], latency["threads"]) == (60, 1)
    assert 0 < latency["median"] <= latency["p95"]
    assert f"float16.tflite: {latency['median']:.2f} ms per crop on one thread (p95" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert f'latency\np95 (ms)" data-sort="{latency["p95"]!r}"' in page
    assert "60 runs" in page
    assert "Saliency maps" not in page


def test_one_file_name_twice_is_told_apart(small_dataset, exported, tmp_path):
    copy = shutil.copy(exported / "mobile_float32.tflite", tmp_path)
    model = exported / "mobile_float32.tflite"
    manifest = small_dataset / "manifest.csv"
    request = EvaluationRequest([model, copy], [manifest], resamples=10)
    found = evaluate_and_report(request, tmp_path).to_json()
    assert [found["model"]["name"], found["others"][0]["model"]["name"]] == [str(model), copy]
    assert found["others"][0]["differences"]["eer"]["difference"] == 0


def test_listed_pairs(run_cli, small_dataset, exported, tmp_path):
    rows = read_manifest(small_dataset / "manifest.csv")
    first = rows[0]
    genuine = [row for row in rows[1:] if row.identity == first.identity]
    impostor = [row for row in rows if row.identity != first.identity][:9]
    for name, others in (("genuine", genuine), ("imposter", impostor)):
        lines = [f"{first.image},{row.image}\n" for row in others]
        (tmp_path / f"{name}.csv").write_text("".join(lines))
    command = [
        "evaluate", "--model", exported / "mobile_float32.tflite", "--split", "all",
        "--manifest", small_dataset / "manifest.csv", "--out", tmp_path / "out",
        "--genuine", tmp_path / "genuine.csv",
    ]  # fmt: skip
    status, text, _ = run_cli(*command, "--impostor", tmp_path / "imposter.csv")
    assert status == 0
    assert f"{len(genuine)} genuine, 9 impostor" in text
    assert "CMC" not in text
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["evaluation"]["protocol"] == "pair-lists"
    assert found["generalised"]["failures"] == {}
    assert found["generalised"]["impostor_attempts"] == 9
    (tmp_path / "imposter.csv").write_text("nobody.jpg,0.jpg\n")
    status, _, err = run_cli(*command, "--impostor", tmp_path / "imposter.csv")
    assert status == 2
    assert "imposter.csv, line 1: there is no image 'nobody.jpg'" in err
    status, _, err = run_cli(*command)
    assert status == 2
    assert "--impostor" in err
    both = [*command, "--impostor", tmp_path / "imposter.csv", "--protocol", "same-eye"]
    status, _, err = run_cli(*both)
    assert status == 2
    assert "leave out the protocol" in err


class RandomEmbedder:
    """A random direction for each image."""

    input_size = (32, 32)
    channels = 1
    matcher = Matcher()

    def __init__(self, path):
        self.path = path

    def embed(self, rois):
        return self.vectors[: len(list(rois))]

    @property
    def vectors(self):
        vectors = np.random.default_rng(0).normal(size=(200, 8))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def some_failed(small_dataset, exported, tmp_path, monkeypatch):
    """A model file, a manifest of which three images failed, and all rows, those of them last."""
    folder = tmp_path / "dataset"
    shutil.copytree(small_dataset, folder)
    rows = read_manifest(folder / "manifest.csv")
    kept, failed = rows[3:], rows[:3]
    write_manifest(folder / "manifest.csv", kept)
    (folder / "failures.csv").write_text(
        "image,reason,detail\n" + "".join(f"{row.image},occluded,lids\n" for row in failed)
    )
    model = tmp_path / "random.tflite"
    shutil.copy(exported / "mobile_float32.tflite", model)
    monkeypatch.setattr(model_module, "open_model", RandomEmbedder)
    return model, folder / "manifest.csv", [*kept, *failed]


def test_listed_pairs_may_name_images_that_failed(some_failed, tmp_path):
    model, manifest, rows = some_failed
    pairs = {True: [], False: []}
    for i in range(0, len(rows), 2):
        for j in {*range(i + 1, len(rows), 5), len(rows) - 1}:
            if i != j:
                pairs[rows[i].identity == rows[j].identity].append((i, j))
    for same, listed in pairs.items():
        text = "".join(f"{rows[i].image},{rows[j].image}\n" for i, j in listed)
        (tmp_path / f"{same}.csv").write_text(text)
    request = EvaluationRequest(
        [model], [manifest], "all", resamples=0,
        pairs=(tmp_path / "True.csv", tmp_path / "False.csv"),
    )  # fmt: skip
    found = evaluate_and_report(request, tmp_path).to_json()
    threshold, vectors = found["evaluation"]["thresholds"]["eer"], RandomEmbedder("").vectors
    matches, compared = {}, {}
    for same, listed in pairs.items():
        usable = [pair for pair in listed if max(pair) < len(rows) - 3]
        assert len(usable) < len(listed)
        compared[same] = len(usable)
        matches[same] = sum(vectors[i] @ vectors[j] >= threshold for i, j in usable)
    counts, generalised = found["evaluation"]["counts"], found["generalised"]
    assert counts["genuine_comparisons"] == compared[True]
    assert counts["impostor_comparisons"] == compared[False]
    listed = {i for pair in (*pairs[True], *pairs[False]) for i in pair}
    gone = len([i for i in listed if i >= len(rows) - 3])
    assert generalised["failures"] == {"occluded": gone}
    assert generalised["failure_rate"] == pytest.approx(gone / len(listed))
    assert generalised["points"]["eer"] == {
        "gfrr": pytest.approx(1 - matches[True] / len(pairs[True])),
        "gfar": pytest.approx(matches[False] / len(pairs[False])),
    }
    page = (tmp_path / "report.html").read_text()
    assert f"{gone}</b> failures to extract" in page


def test_several_datasets_are_evaluated_together(some_failed, small_dataset, tmp_path):
    model, first, rows = some_failed
    second = shutil.copytree(small_dataset, tmp_path / "second") / "manifest.csv"
    both = read_manifest(first), read_manifest(second)
    names = [
        *(("dataset", row.identity) for row in both[0]),
        *(("second", row.identity) for row in both[1]),
    ]
    same = [names[i] == names[j] for i in range(len(names)) for j in range(i)]
    within = [names[i][0] == names[j][0] for i in range(len(names)) for j in range(i)]
    for protocol in ("all-pairs", "across-datasets"):
        request = EvaluationRequest([model], [first, second], "all", protocol=protocol, resamples=0)
        found = evaluate_and_report(request, tmp_path).to_json()
        counts, across = found["evaluation"]["counts"], protocol == "across-datasets"
        assert counts["images"] == len(names)
        assert counts["persons"] == 2 * len({row.subject for row in rows})
        assert counts["genuine_comparisons"] == sum(same)
        assert counts["impostor_comparisons"] == sum(
            not s and (w or across) for s, w in zip(same, within, strict=True)
        )
        assert found["generalised"]["failures"] == {"occluded": 3}
        assert set(found["slices"]["dataset"]) == {"dataset", "second"}
        worst = found["evaluation"]["worst"]["impostor"]
        assert any(a.split("/")[0] != b.split("/")[0] for a, b, _ in worst) == across
    assert found["other_manifests"] == [str(second)]
    page = (tmp_path / "report.html").read_text()
    assert "dataset (synthetic eyes) and second (synthetic eyes)" in page
    assert "dataset: second" in page
    with pytest.raises(EvaluationError, match="reads the images of one dataset"):
        evaluate_and_report(
            EvaluationRequest([model], [first, second], baseline="iriscode"), tmp_path
        )


def test_several_manifests_on_the_command_line(run_cli, monkeypatch, tmp_path):
    given = {}

    def evaluate_and_report(request, *_):
        given.update(manifests=request.manifests)
        raise EvaluationError("seen.")

    monkeypatch.setattr(evaluation_stage, "evaluate_and_report", evaluate_and_report)
    status, _, err = run_cli(
        "evaluate", "--model", "a.tflite", "--manifest", "a.csv", "--manifest", "b.csv",
        "--out", tmp_path,
    )  # fmt: skip
    assert (status, err) == (2, "Error: seen.\n")
    assert given == {"manifests": [Path("a.csv"), Path("b.csv")]}


def test_images_without_template_are_a_baseline_s_failures_too(some_failed, tmp_path, monkeypatch):
    model, manifest, rows = some_failed
    usable = np.delete(np.arange(len(rows) - 3), [1, 7])
    rng = np.random.default_rng(1)
    codes, masks = rng.integers(0, 256, (2, len(usable), 256, 8), dtype=np.uint8)
    encoded = IrisCodes(codes, masks, usable, {"low_quality": 2}, {"Error": 2})
    monkeypatch.setattr(
        model_module, "iriscode_of_dataset",
        lambda *_: IrisCodeBaseline(encoded, "1", "network", "1"),
    )  # fmt: skip
    request = EvaluationRequest([model], [manifest], "all", baseline="iriscode", resamples=0)
    found = evaluate_and_report(request, tmp_path).to_json()
    [baseline] = found["baselines"]
    threshold = np.float32(baseline["evaluation"]["thresholds"]["eer"])
    similarities = 1 - hamming_distances(codes, masks)
    place = {image: i for i, image in enumerate(usable)}
    matched = {True: [], False: []}
    for i in range(len(rows)):
        for j in range(i):
            accepted = i in place and j in place and (
                similarities[place[i], place[j]] >= threshold
            )  # fmt: skip
            matched[rows[i].identity == rows[j].identity].append(accepted)
    assert found["generalised"]["failures"] == {"occluded": 3}
    assert baseline["generalised"]["failures"] == {"low_quality": 2, "occluded": 3}
    assert baseline["generalised"]["failure_rate"] == pytest.approx(5 / len(rows))
    assert baseline["generalised"]["points"]["eer"] == {
        "gfrr": pytest.approx(1 - np.mean(matched[True])),
        "gfar": pytest.approx(np.mean(matched[False])),
    }


@pytest.mark.skipif(package_version("open-iris") is not None, reason="Open-Iris is installed")
def test_without_open_iris_a_baseline_is_one_sentence(run_cli, small_dataset, exported, tmp_path):
    status, _, err = run_cli(
        "evaluate", "--model", exported / "mobile_float32.tflite", "--out", tmp_path,
        "--manifest", small_dataset / "manifest.csv", "--baseline", "iriscode",
    )  # fmt: skip
    assert status == 2
    assert err == (
        "Error: The baseline IrisCode needs the library Open-Iris, which is not installed; "
        "install the package with its extra, iris_tf[open-iris].\n"
    )
    assert not list(tmp_path.iterdir())
