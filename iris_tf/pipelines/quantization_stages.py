"""`iris-tf quantize`: train, pack, evaluate and compare the quantised networks of a run."""

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from iris_tf.config.names import CARD_NAME
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.dataset_title import dataset_title
from iris_tf.data.manifest import read_settings
from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.evaluation.evaluation_result import EvaluationResult
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.exporting.pack_run import pack_run, packed_file
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.pipelines.evaluation_stage import METRICS_NAME, REPORT_NAME, evaluate_and_report
from iris_tf.pipelines.mobiiris_stages import train_stage
from iris_tf.pipelines.stages import Stages, read_result
from iris_tf.quantization.packed_model import quantized_layers
from iris_tf.quantization.schemes import MixedScheme, MixedStep, QuantizationStep
from iris_tf.report.model_report import write_model_report
from iris_tf.report.quantization_plots import accuracy_by_bits_plot, bits_by_layer_plot
from iris_tf.report.quantization_table import quantization_table
from iris_tf.report.report_data import QuantizationRow
from iris_tf.support.errors import RecipeError, TrainingError
from iris_tf.support.files import real_path, sha256, sole_user, write_bytes, write_json, write_text
from iris_tf.training.quantized_training import SCHEME, QuantizedStart, fine_tuning_recipe
from iris_tf.training.run_folder import RunFolder

BITS_NAME = "bits.json"
"""File in the folder of a step: bytes of the packed file, and average bits of each layer."""

TABLE_NAME = "quantization.md"
"""The table of all quantised networks of a run."""

_MIXED = re.compile(r"mixed\d+")


def quantized_folder(run: Path) -> Path:
    """Folder of the quantised networks of a run, beside it."""
    run = real_path(run)
    return run.with_name(f"{run.name}_quantized")


class RunQuantization:
    """Quantised networks of one float run.

    Parameters
    ----------
    run : RunFolder
        Complete.
    recipe : TrainRecipe
        Its recipe, perhaps with another `quantization`.

    Raises
    ------
    TrainingError
        If the run is not complete, or of a quantised network.
    RecipeError
        If the folder beside it is in use for something else.
    """

    def __init__(self, run: RunFolder, recipe: TrainRecipe):
        if not run.is_complete():
            raise TrainingError(
                f"{run.path}: this run is not complete; finish it with "
                f"`iris-tf train --resume {run.path}`."
            )
        if quantized_layers(load_embedding_model(run.best_model())):
            raise TrainingError(
                f"{run.path}: the network of this run is quantised already; give the run of the "
                "float network."
            )
        self.run = run
        self.recipe = replace(recipe, dataset=str(real_path(run.dataset())))
        self.name = real_path(run.path).name
        self.folder = quantized_folder(run.path)
        self.manifest = Path(self.recipe.dataset) / "manifest.csv"
        self.report = self.folder / REPORT_NAME
        # The recipes of the steps are inputs of their stages.
        self.stages = Stages(self.folder, f"quantized_run: {json.dumps(self.name)}\n")

    def carry_out(self, steps: Sequence[QuantizationStep]) -> str:
        """Train, pack and evaluate steps that are not done yet, and compare all of the folder.

        Parameters
        ----------
        steps : sequence of QuantizationStep
            In an order in which a step comes after the one that it starts from.

        Returns
        -------
        str
            The table, which is also written to `TABLE_NAME`.
        """
        for step in steps:
            self.train(step)
            self.pack(step)
            self.evaluate(step)
        return self.compare()

    def step_run(self, name: str) -> RunFolder:
        """Run folder of a step, by its name."""
        return RunFolder(self.folder / name)

    def train(self, step: QuantizationStep) -> None:
        """Fine-tune the network of a step, or resume it."""
        if isinstance(step, MixedStep):
            self.set_aside_other_schemes(step.scheme)
        run = self.step_run(step.name)
        source = self.run if step.first is None else self.step_run(step.first)
        recipe = fine_tuning_recipe(self.recipe, step, run.path, real_path(source.best_model()))
        start = QuantizedStart(step, source, self.run)
        train_stage(self.stages, step.name, _with_own_export(recipe, run), self.manifest, start)

    def set_aside_other_schemes(self, scheme: MixedScheme) -> None:
        """Move away iterations of other schemes, or of an unknown one, finished or not.

        Tables must not mix schemes, and an interrupted training must not go on with other bits.

        Raises
        ------
        InUseError
            If another process quantises this run.
        """
        steps = {step.name: step for step in scheme.steps()}
        with sole_user(self.folder):
            for folder in sorted(self.folder.glob("mixed*")):
                if not _MIXED.fullmatch(folder.name):
                    continue
                step = steps.get(folder.name)
                recorded = self.stages.recorded(f"train {folder.name}").get(SCHEME, {})
                if step is None or recorded != step.settings:
                    aside = RunFolder(folder).set_aside()
                    print(f"{folder.name} is of another scheme: {aside}", file=sys.stderr)

    def pack(self, step: QuantizationStep) -> None:
        """Write the ``.irq`` file of a step and its card."""
        run = self.step_run(step.name)

        def action() -> None:
            packed = pack_run(run, self.name, step.name)
            # Pairs, because the keys of an object are sorted in files.
            layers = list(packed.layers.items())
            content = {"size": dataclasses.asdict(packed.size), "layers": layers}
            write_json(run.path / BITS_NAME, content)

        file = packed_file(run, self.name, step.name)
        outputs = [file, file.with_name(CARD_NAME), run.path / BITS_NAME]
        self.stages.run(f"pack {step.name}", {"model": run.best}, outputs, action)

    def evaluate(self, step: QuantizationStep) -> None:
        """Compare the file of a step with the float network on the test split."""
        run = self.step_run(step.name)
        file, out = packed_file(run, self.name, step.name), run.path / "evaluation"
        request = EvaluationRequest([self.run.path, file], [self.manifest], "test")
        self.stages.run(
            f"evaluate {step.name}",
            {"float": self.run.best_model(), "model": file, "manifest": self.manifest},
            [out / METRICS_NAME],
            lambda: evaluate_and_report(request, out),
        )

    def results(self) -> dict[str, EvaluationResult]:
        """Evaluations of all steps in the folder that are of the present files, by name."""
        found, float_sha256 = {}, sha256(self.run.best_model())
        for path in sorted(self.folder.glob(f"*/evaluation/{METRICS_NAME}")):
            result = EvaluationResult.from_json(read_result(path))
            name = path.parent.parent.name
            (quantised,) = result.others
            file = packed_file(self.step_run(name), self.name, name)
            compared_with = result.first.model.sha256
            if compared_with != float_sha256 or not file.is_file():
                continue
            if sha256(file) == quantised.model.sha256:
                found[name] = result
        return found

    def compare(self) -> str:
        """Write table, plots and report about all steps in the folder; returns the table."""
        results = self.results()
        first = next(iter(results.values()))
        rows = [QuantizationRow("float32", 32.0, self._float_bytes(), first.first, {})]
        for name, result in results.items():
            bits = read_result(self.folder / name / BITS_NAME)
            (quantised,) = result.others
            average = bits["size"].pop("average_bits")
            size, layers = quantised.model.bytes, dict(bits["layers"])
            rows.append(QuantizationRow(name, average, size, quantised, layers, bits["size"]))
        rows[1:] = sorted(rows[1:], key=lambda row: (row.scheme, -row.average_bits))
        settings = read_settings(Path(self.recipe.dataset) / "dataset.json")
        table = quantization_table(rows, f"{dataset_title(settings)}, test split")
        write_text(self.folder / TABLE_NAME, table)
        write_bytes(self.folder / "accuracy_by_bits.png", accuracy_by_bits_plot(rows))
        if any(row.scheme == "mixed" for row in rows):
            write_bytes(self.folder / "bits_by_layer.png", bits_by_layer_plot(rows))
        whole = replace(first, models=[row.result for row in rows])
        write_model_report(self.report, whole, [PreparedSet.read(self.manifest)], quantization=rows)
        return table

    def _float_bytes(self) -> int:
        environment = json.loads(self.run.environment.read_text("utf-8"))
        return 4 * environment["parameters"]


def _with_own_export(recipe: TrainRecipe, run: RunFolder) -> TrainRecipe:
    """Recipe of a step with the `keep_float` of its earlier run, which that can go on with.

    It concerns export alone, so another one is no reason to train again.
    """
    try:
        own = run.recipe().quantization.keep_float
    except RecipeError:  # no earlier run, or one of another version
        return recipe
    same = replace(recipe, quantization=replace(recipe.quantization, keep_float=own))
    return same if run.continues(same) else recipe
