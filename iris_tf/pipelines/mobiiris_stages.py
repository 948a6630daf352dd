"""Stages of a MobiIris recipe: images, crops, teacher and students, `.tflite` files, report."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from iris_tf.benchmark.latency import measure_latency
from iris_tf.config.names import CARD_NAME
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.precision import PRECISIONS, finest
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.data.dataset_title import dataset_title
from iris_tf.data.manifest import ManifestRow, read_settings
from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.evaluation.evaluation_result import EvaluationResult
from iris_tf.evaluation.fold_protocol import FoldedPairLists
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.evaluation.raw_pixels import raw_pixel_embeddings
from iris_tf.evaluation.saliency import MAPS_NAME, OcclusionMap, read_maps
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.metrics import Metrics
from iris_tf.pipelines.evaluation_stage import evaluate_and_report
from iris_tf.pipelines.stages import Stages, read_result
from iris_tf.pipelines.teacher_stage import TeacherFigures, read_teacher_figures, teacher_stage
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.report.report_data import (
    Report,
    ReportRow,
    TrainingCurve,
    count_splits,
)
from iris_tf.report.report_page import write_report
from iris_tf.report.terminal_table import format_table
from iris_tf.support.files import write_json
from iris_tf.support.machine import machine_description
from iris_tf.support.progress import track
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.released_models import PRETRAINED, weights_file
from iris_tf.training.model_recipes import model_recipes
from iris_tf.training.run_folder import RunFolder, model_file, teacher_file

if TYPE_CHECKING:
    from iris_tf.training.starting_point import StartingPoint

CROPS_SHOWN = 24
EYES_MAPPED = 4  # eyes with saliency maps per model
TEACHERS = "teachers.json"
AS_RELEASED = "released weights as they are"
TESTED = {
    "subject": "subjects not seen in training",
    "identity": "identities not seen in training",
    "image": "other images of the identities that were trained on",
}


def train_stage(
    stages: Stages,
    name: str,
    recipe: TrainRecipe,
    manifest: Path,
    start: "StartingPoint | None" = None,
) -> None:
    """Train a model, or resume its interrupted run.

    If recipe, initial weights, teacher or what else `start` depends on have changed, the model is
    trained from the start and its earlier run is set aside. If only the number of epochs has
    changed, the run is resumed.
    `start` is what the training starts from, if not from the network of the recipe.
    """
    from iris_tf.training.starting_point import FROM_RECIPE
    from iris_tf.training.train_model import resume, train

    run, start = RunFolder(recipe.run), start or FROM_RECIPE
    inputs: dict[str, Any] = {"recipe": recipe, "manifest": manifest}
    inputs |= starting_weights(recipe) | start.inputs()
    if recipe.distillation.teacher is not None:
        teacher = recipe.distillation.teacher
        inputs["teacher"] = teacher_file(teacher) or teacher

    def start_over(changed: set[str]) -> None:
        # `resume` itself refuses to continue with changed images.
        replaced = changed & {"weights", "teacher", *start.inputs()} or (
            "recipe" in changed and not run.continues(recipe)
        )
        if replaced and run.path.exists():
            print(f"earlier run of {name}: {run.set_aside()}", file=sys.stderr)

    stages.run(
        f"train {name}",
        inputs,
        [run.best, run.history_file],
        lambda: (
            resume(run.path, recipe, start)
            if run.recipe_file.is_file()
            else train(recipe, start=start)
        ),
        start_over,
    )


def starting_weights(recipe: TrainRecipe) -> dict[str, Path]:
    """File of the initial weights, if any, as an input of a stage."""
    file = weights_file(recipe.network.weights)
    return {} if file is None else {"weights": file}


def export_stage(stages: Stages, name: str, run: RunFolder, precisions: Sequence[str]) -> None:
    """Export the ``.tflite`` files of a model and its card."""
    from iris_tf.exporting.export_run import export_run

    stages.run(
        f"export {name}",
        {"model": run.best, "precisions": list(precisions)},
        [*(exported_file(name, run, p) for p in precisions), run.models / CARD_NAME],
        lambda: export_run(run.path, precisions),
    )


def exported_file(name: str, run: RunFolder, precision: str) -> Path:
    """Path of an exported model."""
    return run.models / PRECISIONS[precision].file_name(name)


class MobiIrisPipeline:
    """Pipeline of a MobiIris recipe in its run folder."""

    def __init__(self, recipe: PipelineRecipe, stages: Stages):
        self.recipe, self.stages = recipe, stages
        self.folder = Path(recipe.run)
        self.dataset = self.folder / "dataset"
        self.manifest = self.dataset / "manifest.csv"
        self.models = model_recipes(recipe)

    def run(self) -> None:
        """Run all stages in order."""
        from iris_tf.training.check_training import check_models
        from iris_tf.training.prepare_training import check_batches

        check_models(self.models, self.recipe.dataset.roi_mode, self.recipe.dataset.crop_channels)
        self.make_dataset()
        check_batches(self.models)
        self.check_folds()
        for name, recipe in self.models.items():
            train_stage(self.stages, name, recipe, self.manifest)
        for name, recipe in self.models.items():
            export_stage(self.stages, name, RunFolder(recipe.run), self.recipe.precisions)
        self.evaluate_references()
        for name in self.models:
            for precision in self.recipe.precisions:
                self.evaluate(name, precision)
        self.compare()
        self.compare_with_teachers()
        self.measure_latency()
        self.report()

    def make_dataset(self) -> None:
        """Generate synthetic eyes, if the recipe has them, and crop the images."""
        settings = self.recipe.dataset
        images = Path(settings.images) if settings.images else self.folder / "eyes"
        if settings.synthetic is not None:
            # Generation and preparation detect finished work themselves, so they need no stamp.
            eyes = settings.synthetic
            synthesize(images, eyes.subjects, eyes.images, self.recipe.seed, cameras=eyes.cameras)
        dataset = prepare(
            images,
            self.dataset,
            layout=settings.layout,
            segmenter=settings.segmenter,
            roi_mode=settings.roi_mode,
            split_by=settings.split_by,
            seed=self.recipe.seed,
            split=settings.split,
            channels=settings.channels,
        )
        counts = dataset.counts
        converted = [f", {note}: {count}" for note, count in counts["notes"].items()]
        print(
            f"{counts['prepared']} of {counts['images']} images cropped, "
            f"{counts['identities']} identities{''.join(converted)}",
            file=sys.stderr,
        )

    def check_folds(self) -> None:
        """Check, before any model is trained, that the list names images of the test split.

        Raises
        ------
        EvaluationError
            If not, or if it cannot be read or has a single fold.
        """
        if self.recipe.dataset.folds is not None:
            dataset = PreparedSet.read(self.manifest)
            rows, failed = dataset.of_split("test"), dataset.failed_of_split("test") or ()
            FoldedPairLists.read_folds(self.recipe.dataset.folds, rows, failed)

    def model_file(self, name: str, precision: str) -> Path:
        """Path of an exported model."""
        return exported_file(name, RunFolder(self.models[name].run), precision)

    def evaluate(self, name: str, precision: str) -> None:
        """Evaluate an exported model on the test split."""
        model, out = self.model_file(name, precision), self.evaluation_folder(name, precision)
        # Saliency maps do not depend on the precision of the weights.
        eyes = EYES_MAPPED if precision == self.compared_precision else 0
        self.stages.run(
            f"evaluate {name} {precision}",
            {"model": model, "manifest": self.manifest},
            [out / "metrics.json", *([out / MAPS_NAME] if eyes else [])],
            lambda: evaluate_and_report(
                EvaluationRequest([model], [self.manifest], "test", occlusion_eyes=eyes), out
            ),
        )

    def evaluation_folder(self, name: str, precision: str) -> Path:
        """Folder of a model's metrics."""
        return self.folder / name / f"evaluation_{precision}"

    def compare(self) -> None:
        """Compare the other models with the first."""
        files = {name: self.model_file(name, self.compared_precision) for name in self.models}
        folds = self.recipe.dataset.folds
        request = EvaluationRequest(list(files.values()), [self.manifest], "test", folds=folds)
        inputs: dict[str, Any] = {"models": list(files), "manifest": self.manifest}
        inputs |= files_by_path(files.values())
        if folds is not None:
            inputs["folds"] = Path(folds)
        self.stages.run(
            "compare models",
            inputs,
            [self.comparison / "metrics.json"],
            lambda: evaluate_and_report(request, self.comparison),
        )

    def compare_with_teachers(self) -> None:
        """Evaluate the teachers, and measure the distance of each student to its own."""
        channels = self.recipe.dataset.crop_channels
        teacher_stage(self.stages, self.models, self.manifest, channels, self.folder / TEACHERS)

    def teachers(self) -> TeacherFigures:
        """Teachers and their students, once they were compared."""
        return read_teacher_figures(self.folder / TEACHERS)

    @property
    def compared_on(self) -> str:
        """What the models are compared on, as the heading of a table."""
        title = f"{dataset_title(read_settings(self.dataset / 'dataset.json'))}, test split"
        folds = self.recipe.dataset.folds
        return title if folds is None else f"{title}, pairs of {Path(folds).name}"

    @property
    def compared_precision(self) -> str:
        """Precision at which models are compared: the highest exported one."""
        return finest(self.recipe.precisions)

    @property
    def comparison(self) -> Path:
        """Folder of the comparison of the models."""
        return self.folder / "comparison"

    def evaluate_references(self) -> None:
        """Evaluate the baselines: raw pixels, the untrained network, released initial weights."""
        from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
        from iris_tf.training.build_student import build_student

        recipe = list(self.models.values())[-1]
        fresh = replace(recipe, network=replace(recipe.network, weights="none"))
        out = self.folder / "references.json"

        def action() -> None:
            rows = PreparedSet.read(self.manifest).of_split("test")
            channels = self.recipe.dataset.crop_channels
            rois = load_rois(rows, self.dataset, recipe.network.crop_size, channels)
            vectors = {
                "raw pixels (cosine)": raw_pixel_embeddings(rois),
                "untrained network": embed_rois(build_student(fresh, channels), rois),
            }
            if recipe.network.weights == PRETRAINED:
                # The student may lack layers of the released network, such as attention.
                released = load_embedding_model(model_file(Path(PRETRAINED)))
                vectors[AS_RELEASED] = embed_rois(released, rois)
            found = {
                name: evaluate_embeddings(vector, rows, matcher=Matcher()).metrics.to_json()
                for name, vector in vectors.items()
            }
            write_json(out, found)

        self.stages.run(
            "evaluate references",
            {
                "network": recipe,
                "manifest": self.manifest,
                **starting_weights(recipe),
            },
            [out],
            action,
        )

    def measure_latency(self) -> None:
        """Time every exported file on this machine."""
        files = [
            self.model_file(name, precision)
            for name in self.models
            for precision in self.recipe.precisions
        ]
        settings, out = self.recipe.latency, self.folder / "latency.json"

        def action() -> None:
            results = [
                measure_latency(path, settings.threads, settings.runs)
                for path in track(files, "Measuring latency", len(files))
            ]
            merged = results[0]
            merged["rows"] = [row for result in results for row in result["rows"]]
            write_json(out, merged)

        inputs = files_by_path(files) | {"machine": machine_description()["cpu"]}
        self.stages.run("measure latency", inputs, [out], action)

    def report(self) -> None:
        """Write the report and print its table."""
        rows = self.report_rows()
        prepared = PreparedSet.read(self.manifest)
        settings = prepared.settings
        assert settings is not None  # written by `make_dataset`
        path = self.folder / "report.html"
        names = [f"{name}, {self.compared_precision}" for name in self.models]
        first, *others = names
        compared = EvaluationResult.from_json(read_result(self.comparison / "metrics.json"))
        notes = ["Latency was measured on this machine's CPU, not on a phone."]
        folds = self.recipe.dataset.folds
        if folds is not None:
            notes.append(
                f"Differences between models, and accuracy over folds, are of the pairs that "
                f"{Path(folds).name} lists; all other figures are of all pairs."
            )
        write_report(
            path,
            Report(
                title=f"MobiIris: {self.folder.name}",
                dataset=("Synthetic eyes" if settings["synthetic"] else dataset_title(settings)),
                evaluated_on=f"test split: {TESTED[settings['split_by']]}",
                synthetic=settings["synthetic"],
                roi_mode=settings["roi_mode"],
                rows=rows,
                splits=count_splits(prepared.rows),
                failures=prepared.failures,
                environment=machine_description(),
                curves=[
                    TrainingCurve.read(name, RunFolder(recipe.run).history_file)
                    for name, recipe in self.models.items()
                ],
                crops=self.sample_crops(prepared.of_split("test")),
                differences={
                    name: other.differences
                    for name, other in zip(others, compared.others, strict=True)
                    if other.differences  # none with a single subject
                },
                compared_with=first,
                occlusion={
                    f"{name}, {self.compared_precision}": self.maps(name) for name in self.models
                },
                taught=self.teachers().taught,
                folds={
                    name: one.folds
                    for name, one in zip(names, compared.models, strict=True)
                    if one.folds
                },
                notes=notes,
            ),
        )
        Console(width=max(100, Console().width)).print(format_table(rows))
        print(f"crops:   {self.dataset} (manifest.csv, roi/, failures.csv)")
        for name, recipe in self.models.items():
            print(f"model:   {RunFolder(recipe.run).models} ({name})")
        print(f"report:  {path}")

    def maps(self, name: str) -> list[OcclusionMap]:
        """Saliency maps of a model."""
        folder = self.evaluation_folder(name, self.compared_precision)
        (found,) = read_maps(folder / MAPS_NAME).values()
        return found

    def report_rows(self) -> list[ReportRow]:
        """Rows of the report: references, teachers from elsewhere, then all exported files."""
        references = read_result(self.folder / "references.json")
        latency = read_result(self.folder / "latency.json")
        times = {
            row["model"]["file"]: row["inference"] for row in latency["rows"] if row["threads"] == 1
        }
        rows = [
            ReportRow(name, "", Metrics.from_json(content), reference=name != AS_RELEASED)
            for name, content in references.items()
        ]
        rows += [
            ReportRow(f"{name} (teacher)", "float32", metrics, external=True)
            for name, metrics in self.teachers().external.items()
        ]
        for name in self.models:
            for precision in self.recipe.precisions:
                metrics = self.evaluation_folder(name, precision) / "metrics.json"
                found = read_result(metrics)
                file = self.model_file(name, precision)
                cost = model_cost(file)
                rows.append(
                    ReportRow(
                        name,
                        precision,
                        Metrics.from_json(found["evaluation"]),
                        bytes=cost.bytes,
                        latency_ms=times[file.name]["median"],
                        latency_p95_ms=times[file.name]["p95"],
                        latency_runs=times[file.name]["count"],
                        parameters=cost.parameters,
                        macs=cost.macs,
                        generalised=found["generalised"],
                        slices=found["slices"],
                    )
                )
        return rows

    def sample_crops(self, rows: Sequence[ManifestRow]) -> list[np.ndarray]:
        """Sample crops at the input size of the networks."""
        size = next(iter(self.models.values())).network.crop_size
        shown = np.linspace(0, len(rows) - 1, min(CROPS_SHOWN, len(rows))).astype(int)
        return list(
            load_rois(
                [rows[i] for i in shown], self.dataset, size, self.recipe.dataset.crop_channels
            )
        )


def files_by_path(files: Iterable[Path]) -> dict[str, Path]:
    """Files as inputs of a stage, which is run again if their content changes."""
    return {str(path): path for path in files}
