"""Stages of the released recognition model: strips, training, export, evaluation, card."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from iris_tf.config.load_recipe import recipe_yaml
from iris_tf.config.names import CARD_NAME, OPERATING_POINTS
from iris_tf.config.precision import RELEASED_PRECISION
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.data.layouts import AUTO, read_layout
from iris_tf.data.manifest import read_settings
from iris_tf.data.splits import split_rows
from iris_tf.evaluation.degradation import DEGRADATIONS, degrade_dataset
from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.pipelines.evaluation_stage import evaluate_and_report
from iris_tf.pipelines.mobiiris_stages import export_stage, exported_file, train_stage
from iris_tf.pipelines.score_stage import score_stage
from iris_tf.pipelines.stages import Stages, read_result
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.support.errors import RecipeError
from iris_tf.support.files import real_path, replace_folder, sha256, write_json
from iris_tf.support.machine import package_version
from iris_tf.synthetic.strips import SITE_IDENTITIES, write_strip_dataset
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import weights_file
from iris_tf.tflite.score_model import ScoreModel
from iris_tf.training.model_recipes import model_recipes
from iris_tf.training.run_folder import RunFolder

UNCHANGED = "as it is"
STORED = "real.json"
BY_SIMILARITY = "by-similarity"  # folder of the evaluation that gives the card's `thresholds`
METRICS = ("eer", "vr_far_1e-2", "vr_far_1e-3", "cmc_1")
# Files that users may add to the release folder: notes on the model, calibrations of cameras.
KEPT = ("*.md", "calibration-*.json")
TITLES = ("EER %", "VR@FAR=1 %", "VR@FAR=0.1 %", "rank 1 %")


def check_sites(recipe: ReleaseRecipe) -> None:
    """Check that the smallest training site has enough identities for its share of a batch.

    Raises
    ------
    RecipeError
        If it has too few.
    """
    trained = recipe.strips.identities - recipe.strips.validation
    smallest = trained % SITE_IDENTITIES or SITE_IDENTITIES
    for name, model in model_recipes(recipe).items():
        sites = model.batch.datasets
        share = model.batch.drawn // sites if sites else 0
        if share > smallest:
            raise RecipeError(
                f"{name}: a batch takes {share} identities from each of {sites} sites, but with "
                f"{trained} training identities in sites of {SITE_IDENTITIES}, the last site has "
                f"only {smallest}; choose other `strips`."
            )


def check_finish(recipe: ReleaseRecipe) -> None:
    """Check that the models to average share one network, which has the components to weaken.

    Raises
    ------
    RecipeError
        If not; names the setting.
    """
    models = model_recipes(recipe)
    released, last = list(models.items())[-1]
    for name in recipe.finish.average:
        other = dataclasses.replace(models[name].network, weights=last.network.weights)
        if other != last.network:
            raise RecipeError(
                f"finish.average: {name} has another network than {released}, so their weights "
                "cannot be averaged; choose models with the same network."
            )
    if recipe.finish.coarse < 1 and last.network.normalization != "local_contrast":
        raise RecipeError(
            f"finish.coarse is {recipe.finish.coarse:g}, but {released} has no local contrast; "
            "leave it out, or set `normalization: local_contrast`."
        )
    if recipe.finish.unplaced < 1 and last.network.pooling == "average":
        raise RecipeError(
            f"finish.unplaced is {recipe.finish.unplaced:g}, but {released} pools without weights; "
            "leave it out, or set `pooling: placed`."
        )


def check_folders(recipe: ReleaseRecipe) -> None:
    """Check folders before a run of hours, and protect unrelated files from replacement.

    Raises
    ------
    DatasetError
        If a folder of real eyes cannot be read, or has too few subjects.
    RecipeError
        If the release folder holds unrelated files, or the initial weights of a model.
    """
    for images in recipe.real.values():
        split_rows(read_layout(Path(images), AUTO).rows)
    out, name = Path(recipe.out), list(recipe.models)[-1]
    for model, settings in model_recipes(recipe).items():
        weights = weights_file(settings.network.weights)
        if weights is not None and real_path(weights).parent == real_path(out):
            raise RecipeError(
                f"{weights}: {model} would start from it and this release replaces it, so the "
                "next call would train from the start; set `weights` to the path of a copy."
            )
    own = (*KEPT, CARD_NAME, f"{name}_*.tflite", f"{name}.keras")
    for path in sorted(out.iterdir()) if out.is_dir() else ():
        if not any(path.match(pattern) for pattern in own):
            raise RecipeError(
                f"{out}: holds {path.name}, which does not belong to a released {name} and would "
                "be lost; choose another folder as `out`."
            )


def release_stages(recipe: ReleaseRecipe) -> Stages:
    """Check a recipe and open its run folder.

    Raises
    ------
    RecipeError, DatasetError
        If recipe or folders cannot be used.
    """
    check_sites(recipe)
    check_finish(recipe)
    check_folders(recipe)
    # Real eyes are not used in training, so a run can be resumed with other `real` folders.
    trained = dataclasses.replace(recipe, real={}, thresholds="")
    return Stages(Path(recipe.run), recipe_yaml(trained))


class Release:
    """Pipeline of the released model in its run folder."""

    def __init__(self, recipe: ReleaseRecipe, stages: Stages):
        self.recipe, self.stages = recipe, stages
        self.folder = Path(recipe.run)
        self.dataset = self.folder / "dataset"
        self.models = model_recipes(recipe)
        self.name = list(self.models)[-1]
        self.runs = {name: RunFolder(model.run) for name, model in self.models.items()}
        self.finished = RunFolder(self.folder / "finished" / self.name)

    def run(self) -> None:
        """Run all stages in order."""
        self.train()
        self.export()
        for name, images in self.recipe.real.items():
            self.measure(name, Path(images))
        self.publish()
        self.show()

    def train(self) -> None:
        """Generate the strips, train all models on them, and finish the last one."""
        from iris_tf.training.check_training import check_models
        from iris_tf.training.prepare_training import check_batches

        check_models(self.models, "unrolled")
        strips = self.recipe.strips
        manifest = self.dataset / "manifest.csv"
        self.stages.run(
            "draw strips",
            {"strips": dataclasses.asdict(strips), "seed": self.recipe.seed},
            [manifest, self.dataset / "dataset.json"],
            lambda: write_strip_dataset(
                self.dataset, self.recipe.seed, strips.identities, strips.views, strips.validation
            ),
        )
        check_batches(self.models)
        for name, recipe in self.models.items():
            train_stage(self.stages, name, recipe, manifest)
        from iris_tf.training.finishing import finish_runs

        settings = self.recipe.finish
        self.stages.run(
            f"finish {self.name}",
            {
                **{f"of {name}": self.runs[name].best for name in settings.average or [self.name]},
                "settings": dataclasses.asdict(settings),
            },
            [self.finished.best],
            lambda: finish_runs(self.runs, self.name, self.finished, settings),
        )

    def export(self) -> None:
        """Export the ``.tflite`` files of the last model and its card."""
        export_stage(self.stages, self.name, self.finished, self.recipe.precisions)

    def fit_scores(self) -> ScoreModel | None:
        """Fit the scores of the card, unless that was done before; None if it has none."""
        return score_stage(self.stages, self.recipe.scores, self.file(RELEASED_PRECISION))

    def file(self, precision: str) -> Path:
        """Path of an exported file."""
        return exported_file(self.name, self.finished, precision)

    def measure(self, name: str, images: Path) -> None:
        """Evaluate on all real eyes of a folder, unmodified and with each degradation."""
        files = {precision: self.file(precision) for precision in self.recipe.precisions}
        folder = self.folder / "real" / name
        prepared = prepare(images, folder / "dataset", roi_mode="unrolled")
        # Another segmenter version gives other crops; degraded images are segmented again.
        version = read_settings(prepared.folder / "dataset.json")["segmenter_version"]
        crops = {"manifest": prepared.manifest, "segmenter": version}
        iriscode = "iriscode" if package_version("open-iris") else None
        if iriscode is None:
            print("Open-Iris is not installed here, so its IrisCode is not in the table.")
        self.stages.run(
            f"measure {name}",
            {**files, **crops, "baseline": iriscode, "phase": self.phase()},
            [folder / "metrics.json"],
            lambda: evaluate_and_report(
                EvaluationRequest(
                    list(files.values()), [prepared.manifest], "all", baseline=iriscode
                ),
                folder,
            ),
        )
        if name == self.recipe.thresholds:
            self.stages.run(
                f"set thresholds on {name}",
                {"model": files[RELEASED_PRECISION], **crops, "phase": self.phase()},
                [folder / BY_SIMILARITY / "metrics.json"],
                lambda: evaluate_and_report(
                    EvaluationRequest(
                        [files[RELEASED_PRECISION]], [prepared.manifest], "all", by_similarity=True
                    ),
                    folder / BY_SIMILARITY,
                ),
            )
        for number, kind in enumerate(DEGRADATIONS):
            out = folder / f"degraded-{number}"

            def action(kind: str = kind, out: Path = out) -> None:
                manifest = degrade_dataset(prepared.manifest, kind, out / "dataset")
                evaluate_and_report(
                    EvaluationRequest([files[RELEASED_PRECISION]], [manifest], "all"), out
                )

            self.stages.run(
                f"measure {name}, {kind}",
                {"model": files[RELEASED_PRECISION], **crops, "kind": kind, "phase": self.phase()},
                [out / "metrics.json"],
                action,
            )

    def figures(self) -> dict[str, dict[str, Any]]:
        """Metrics of the current files, from this or an earlier call, by set and kind."""
        found = self._stored_figures()
        for metrics in sorted((self.folder / "real").glob("*/metrics.json")):
            if rows := self._figures_in(metrics.parent):
                found[metrics.parent.name] = rows
        return found

    def _hashes(self) -> dict[str, str]:
        """SHA-256 of each exported file, by precision."""
        return {precision: sha256(self.file(precision)) for precision in self.recipe.precisions}

    def phase(self) -> dict[str, int] | None:
        """Phase code layout: not stored in the files, but comparisons depend on it."""
        phase = ModelCard.read(self.finished.models / CARD_NAME).phase
        return None if phase is None else dataclasses.asdict(phase)

    def _stored_figures(self) -> dict[str, dict[str, Any]]:
        # Metrics are kept after the folder of the eyes is removed, e.g. for legal reasons.
        path = self.folder / STORED
        stored = read_result(path) if path.is_file() else {}
        measured = stored.get("files"), stored.get("phase")
        return stored["sets"] if measured == (self._hashes(), self.phase()) else {}

    def _figures_in(self, folder: Path) -> dict[str, Any]:
        """Metrics in the folder of a set, without those of other files."""
        phase = self.phase()
        precisions = {digest: precision for precision, digest in self._hashes().items()}

        def precision_of(result: dict[str, Any]) -> str | None:
            model = result["model"]
            return precisions.get(model["sha256"]) if model["phase"] == phase else None

        rows: dict[str, Any] = {}
        plain = read_result(folder / "metrics.json")
        for result in (plain, *plain["others"]):
            if precision := precision_of(result):
                rows[f"{UNCHANGED}, {precision}"] = _figures(result)
        if first := precision_of(plain):
            for baseline in plain["baselines"]:
                rows[f"{UNCHANGED}, {baseline['name']}"] = _figures(baseline)
                # IrisCode skips images that it cannot process.
                rows[f"{UNCHANGED}, {first}, same images"] = _figures(
                    {"evaluation": baseline["model_evaluation"]}
                )
        for number, kind in enumerate(DEGRADATIONS):
            path = folder / f"degraded-{number}" / "metrics.json"
            result = read_result(path) if path.is_file() else None
            if result and (precision := precision_of(result)):
                rows[f"{kind}, {precision}"] = _figures(result)
        return rows

    def publish(self) -> None:
        """Publish the files, the weights for further training and the card in `out`."""
        card = ModelCard.read(self.finished.models / CARD_NAME)
        # Further precisions may have been exported by hand; they were not evaluated.
        wanted = self.recipe.precisions
        card = dataclasses.replace(
            card,
            files={name: file for name, file in card.files.items() if file.precision in wanted},
            parity={name: cosine for name, cosine in card.parity.items() if name in wanted},
        )
        strips = self.recipe.strips
        with replace_folder(self.recipe.out) as folder:
            for pattern in KEPT:
                for file in Path(self.recipe.out).glob(pattern):
                    shutil.copy2(file, folder)
            for name in card.files:
                shutil.copy2(self.finished.models / name, folder)
            shutil.copy2(self.finished.best, folder / f"{self.name}.keras")
            card = dataclasses.replace(
                card,
                **self.thresholds(),
                score=self.fit_scores(),
                training_data=(
                    f"{strips.identities - strips.validation} synthetic irises, {strips.views} "
                    f"images of each by varied synthetic cameras (seed {self.recipe.seed}); no "
                    f"real image.{self.finishing()}"
                ),
                metrics=card.metrics | {"real eyes, all pairs": self.figures()},
            )
            card.write(folder / CARD_NAME)

    def finishing(self) -> str:
        """Describe the finishing of the trained models, for the card."""
        settings, done = self.recipe.finish, []
        if settings.average:
            shares = (f"{name} {share:g}" for name, share in settings.average.items())
            done.append(f"weights averaged ({', '.join(shares)})")
        if settings.coarse < 1:
            done.append(f"low-frequency contrast weakened to {settings.coarse:g}")
        if settings.unplaced < 1:
            done.append(f"components independent of the angle weakened to {settings.unplaced:g}")
            done.append("batch statistics recomputed on these irises")
        if settings.whitening:
            done.append(f"embeddings whitened on these irises, power {settings.whitening:g}")
        return f" After training: {'; '.join(done)}." if done else ""

    def thresholds(self) -> dict[str, Any]:
        """Threshold fields of the card, if they are set on a real dataset."""
        name = self.recipe.thresholds
        if not name:
            return {}
        path = self.folder / "real" / name / BY_SIMILARITY / "metrics.json"
        evaluation = read_result(path)["evaluation"]
        counts = ("genuine_comparisons", "impostor_comparisons")
        return {
            "thresholds": {point: evaluation["thresholds"][point] for point in OPERATING_POINTS},
            "thresholds_from": {"dataset": name, "split": "all"}
            | {count: evaluation["counts"][count] for count in counts},
        }

    def show(self) -> None:
        """Print the metrics on real eyes and the paths of the files."""
        figures = self.figures()
        of = {"files": self._hashes(), "phase": self.phase()}
        write_json(self.folder / STORED, of | {"sets": figures})
        if figures:
            table = Table(title="Real eyes, all pairs of images")
            for title in ("set", "images", "genuine", "impostor", "not cropped %", *TITLES):
                table.add_column(title, justify="left" if title == "set" else "right")
            for name, rows in figures.items():
                for kind, found in rows.items():
                    table.add_row(
                        f"{name}, {kind}",
                        *(str(found[key]) for key in ("images", "genuine", "impostor")),
                        *(
                            "–" if found[key] is None else f"{100 * found[key]:.2f}"
                            for key in ("failure_to_extract", *METRICS)
                        ),
                    )
            Console(width=max(130, Console().width)).print(table)
        for file in sorted(Path(self.recipe.out).iterdir()):
            print(f"{file} ({file.stat().st_size / 2**20:.2f} MiB)")


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    evaluation, generalised = result["evaluation"], result.get("generalised")
    counts, bounds = evaluation["counts"], evaluation["intervals"]["bounds"]
    return {
        "images": counts["images"],
        "identities": counts["identities"],
        "genuine": counts["genuine_comparisons"],
        "impostor": counts["impostor_comparisons"],
        **{key: evaluation["metrics"][key] for key in METRICS},
        "failure_to_extract": None if generalised is None else generalised["failure_rate"],
        "intervals_90": {key: bounds.get(key) for key in METRICS},
    }
