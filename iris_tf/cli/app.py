"""The `iris-tf` command line: each command parses, calls one function, prints."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iris_tf.cli.benchmark_commands import benchmark
from iris_tf.cli.console import (
    RESUMES,
    LayoutName,
    Scheduler,
    echo,
    if_interrupted,
    listed,
    load_tensorflow,
    one_of,
    report_errors,
)
from iris_tf.cli.enroll_command import enroll
from iris_tf.cli.exchange_commands import add_exchange_verbs
from iris_tf.cli.precision_report import print_precision_report
from iris_tf.cli.protection_commands import gallery
from iris_tf.cli.quantize_command import quantize
from iris_tf.cli.recognition_commands import SegmenterModel, add_verbs
from iris_tf.cli.serve_command import add_serve_verb
from iris_tf.config.names import (
    ALL_SPLITS,
    BASELINES,
    CAMERAS,
    CHANNELS,
    CLOSED_WORLD,
    DEFAULT_SEGMENTER,
    IDENTITIES,
    IMAGE_FORMATS,
    IMAGE_ROI_MODES,
    NO_SEGMENTER,
    PROTOCOLS,
    ROI_MODES,
    SPLIT_BY,
    SPLIT_BY_ALIASES,
    SPLITS,
)
from iris_tf.config.precision import DEFAULT_PRECISIONS, PRECISIONS
from iris_tf.data.layouts import AUTO
from iris_tf.segmentation.segmenter import SEGMENTERS
from iris_tf.support.version import __version__

if TYPE_CHECKING:
    from iris_tf.preparation.prepare_dataset import PreparedDataset

app = typer.Typer(
    name="iris-tf",
    help="From near-infrared eye images to small TFLite iris-recognition models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(benchmark, name="benchmark")
app.add_typer(gallery, name="gallery")


def main() -> None:
    """Run `iris-tf`."""
    report_errors(app)


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"iris_tf {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of `iris-tf` itself."""


@app.command()
def synthesize(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    subjects: Annotated[
        int, typer.Option(help="Number of subjects, 1 to 1000; each has two eyes.")
    ] = 20,
    images: Annotated[int, typer.Option(help="Images per eye, 1 to 100.")] = 5,
    seed: Annotated[int, typer.Option(help="Same seed, same images, byte for byte.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one per core.")] = -1,
    image_format: Annotated[str, one_of(IMAGE_FORMATS, "Lossy or lossless.")] = IMAGE_FORMATS[0],
    cameras: Annotated[
        str, one_of(CAMERAS, "many: images of varied cameras, to test segmenters.")
    ] = CAMERAS[0],
    scheduler: Scheduler = None,
) -> None:
    """Generate near-infrared eye images with exact ground truth.

    Writes 640x480 images (with --cameras many: of various sizes) in the layout
    of CASIA-Iris-Thousand, each with the ellipses of pupil and iris (.json) and
    the visible iris mask (_mask.png).
    """
    from iris_tf.synthetic.dataset_writer import synthesize

    with if_interrupted(lambda: RESUMES):
        synthesize(out, subjects, images, seed, jobs, image_format, cameras, scheduler)
    echo(f"{2 * subjects * images} images of {2 * subjects} eyes in {out}")


@app.command()
def prepare(
    images: Annotated[Path, typer.Option(help="Folder of images; never written to.")],
    out: Annotated[Path, typer.Option(help="Dataset folder to write.")],
    layout: LayoutName = AUTO,
    segmenter: Annotated[
        str,
        typer.Option(
            help=f"Locates pupil and iris: {', '.join(sorted(SEGMENTERS))}; {NO_SEGMENTER} for the "
            f"ROI modes {' and '.join(IMAGE_ROI_MODES)}."
        ),
    ] = DEFAULT_SEGMENTER,
    segmenter_model: SegmenterModel = None,
    min_quality: Annotated[
        str,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Reject images, e.g. sharpness=5,usable_iris_area=60,confidence=0.3.",
        ),
    ] = "",
    roi_mode: Annotated[
        str,
        one_of(
            ROI_MODES,
            f"How to crop; algorithm1 is the paper's. With --segmenter {NO_SEGMENTER}, for aligned "
            "faces or finished crops: whole, the image itself, or center, its central square.",
        ),
    ] = ROI_MODES[0],
    channels: Annotated[
        str | None,
        one_of(
            map(str, CHANNELS),
            "1: grey crops, colour images are converted; 3: colour crops, a grey image gets three "
            "equal channels. Conversions are counted. Without it crops are grey, but with "
            f"--segmenter {NO_SEGMENTER} grey and colour images in one folder are refused.",
        ),
    ] = None,
    mirror_left: Annotated[
        bool,
        typer.Option(
            "--mirror-left",
            help=f"Mirror the crops of left eyes; for periocular images, with --segmenter "
            f"{NO_SEGMENTER}.",
        ),
    ] = False,
    identities: Annotated[
        str,
        one_of(
            IDENTITIES,
            f"What is one identity; subject: both eyes, for periocular images, with --segmenter "
            f"{NO_SEGMENTER}.",
        ),
    ] = IDENTITIES[0],
    split_by: Annotated[
        str,
        one_of(
            (*SPLIT_BY, CLOSED_WORLD),
            "What a split keeps together; identity is the paper's; image, for a closed world, "
            "needs --split.",
            aliases=SPLIT_BY_ALIASES,
        ),
    ] = SPLIT_BY[0],
    seed: Annotated[int, typer.Option(help="Seed of the 70:15:15 split.")] = 0,
    split: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV table of a split of your own: a column split (train, val or test) and a "
            "column identity, subject or image. Without it, the split is drawn.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one per core.")] = -1,
    scheduler: Scheduler = None,
) -> None:
    """Crop a folder of images: manifest, crops, failures and contact sheet.

    An interrupted run resumes where it stopped. An image that cannot be used is
    counted with its reason and never stops the run. New --min-quality limits can
    be applied to a finished dataset: no image is segmented again.
    """
    from iris_tf.preparation.prepare_dataset import prepare
    from iris_tf.preparation.quality_rules import parse_limits

    with if_interrupted(lambda: RESUMES):
        dataset = prepare(
            images,
            out,
            layout,
            segmenter,
            roi_mode,
            split_by,
            seed,
            jobs,
            split=split,
            channels=None if channels is None else int(channels),
            mirror_left=mirror_left,
            identities=identities,
            segmenter_model=segmenter_model,
            min_quality=parse_limits(min_quality),
            scheduler=scheduler,
        )
    _print_prepared(dataset)


def _print_prepared(dataset: "PreparedDataset") -> None:
    counts = dataset.counts
    echo(
        f"{dataset.layout}: {counts['prepared']} of {counts['images']} images cropped, "
        f"{counts['identities']} identities of {counts['persons']} subjects, in {dataset.folder}"
    )
    if counts["identities_with_one_image"]:
        echo(
            f"  identities with one image, which give no triplet: "
            f"{counts['identities_with_one_image']}"
        )
    for reason, count in dataset.failures.items():
        echo(f"  failed, {reason}: {count} ({100 * count / counts['images']:.1f} %)")
    for note, count in counts["notes"].items():
        echo(f"  converted, {note}: {count}")
    if counts["outside_layout"]["images"]:
        examples = ", ".join(counts["outside_layout"]["examples"][:3])
        echo(f"  not in the layout: {counts['outside_layout']['images']} ({examples})")
    if not_read := counts.get("not_read"):
        kinds = ", ".join(f"{count} {kind}" for kind, count in not_read.items())
        echo(f"  files of kinds that are not read: {kinds}")
    if (lost := counts.get("without_images")) and lost["identities"]:
        names = listed(lost["examples"], lost["identities"])
        echo(f"  identities without a usable image: {lost['identities']} ({names})")
    for hint in counts.get("hints", ()):
        echo(f"  note: {hint}")
    echo(f"  to look through: {dataset.folder / 'contact_sheet.html'}")


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(help="YAML recipe, or the name of a shipped one (--list).")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. network.embedding_size=256")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Resume the run in this folder; epochs=N changes its length."),
    ] = None,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="List the shipped recipes and do nothing else.")
    ] = False,
) -> None:
    """Train one model from a recipe, or resume an interrupted run.

    The run's folder holds the resolved recipe, checkpoints (best and last),
    history.csv and TensorBoard logs.
    """
    from iris_tf.config.shipped_recipes import recipe_file, summary, training_recipes

    if list_recipes:
        for name, file in training_recipes().items():
            echo(f"{name}: {summary(file)}")
        return
    load_tensorflow()
    from iris_tf.config.load_recipe import load_recipe
    from iris_tf.config.training_recipe import TrainRecipe
    from iris_tf.training import train_model as run
    from iris_tf.training.run_folder import RunFolder

    changes = overrides or []
    if recipe is not None and "=" in recipe and not Path(recipe).is_file():
        changes, recipe = [recipe, *changes], None
    if recipe is not None:
        source = recipe_file(recipe)
    elif resume is not None:
        source = RunFolder.open(resume).recipe_file
    else:
        raise typer.BadParameter("give a recipe (--list names those shipped), or --resume RUN")
    loaded = load_recipe(source, TrainRecipe, changes)
    with if_interrupted(lambda: _resumes_training(resume or Path(loaded.run))):
        folder = run.train(loaded) if resume is None else run.resume(resume, loaded)
    state = folder.state()
    if not state.history:  # on a worker without access to the folder
        echo(f"{folder.path}: is complete, on the machine of worker 0")
        return
    last = state.history[-1]
    figure = f", val EER {100 * last['val_eer']:.2f} %" if "val_eer" in last else ""
    echo(
        f"{folder.path}: {state.epochs_done} epochs, loss {last['loss']:.4f}{figure}; "
        f"best epoch {state.best_epoch}, {folder.best}"
    )


def _resumes_training(folder: Path) -> str:
    from iris_tf.training.run_folder import RunFolder

    run = RunFolder(folder)
    if not run.recipe_file.is_file():
        return "Nothing has been trained yet: run the same command again."
    epoch = run.state().epochs_done + 1
    command = f"iris-tf train --resume {shlex.quote(str(folder))}"
    return f"`{command}` goes on at the beginning of epoch {epoch}."


@app.command()
def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder, .keras file of a released model, or .tflite file of a segmenter."
        ),
    ],
    precision: Annotated[
        str, typer.Option(help=f"Comma-separated, of {', '.join(PRECISIONS)}.")
    ] = ",".join(DEFAULT_PRECISIONS),
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files of a released model or segmenter.")
    ] = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Report on layers in integers and on float16 arithmetic."),
    ] = False,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX",
            help="Full names of layers that stay float32 in int8 and int16x8, beside those of the "
            "recipe's quantization.keep_float; may be repeated.",
        ),
    ] = None,
) -> None:
    """Export a run's best checkpoint as .tflite files with a model card.

    int8 and int16x8 estimate ranges of activations from crops of the training split
    (`quantization` in the training recipe), those of released models from generated eyes.

    Files in other precisions from an earlier export of the same weights are kept
    in RUN/models; files of other weights are removed. Each file's embeddings are
    compared with the Keras model's on real crops; if they disagree, the export
    fails and reports by how much.

    The .keras file of a released model needs --out; with float32, the file comes
    from weights that are not rounded. So does a segmenter's file in float16 or float32.
    """
    precisions = [part.strip() for part in precision.split(",")]
    if (run.suffix in (".keras", ".tflite")) != (out is not None):
        raise typer.BadParameter("give --out with a .keras or .tflite file, and only then")
    if (report or keep_float) and run.suffix == ".tflite":
        option = "--report" if report else "--keep-float"
        raise typer.BadParameter(f"{option} is for run folders and .keras files")
    load_tensorflow()
    from iris_tf.exporting.export_run import export_run
    from iris_tf.exporting.export_segmenter_file import export_segmenter_file
    from iris_tf.exporting.export_weights import export_weights
    from iris_tf.exporting.precision_report import REPORT_NAME

    if out is not None and run.suffix == ".tflite":
        for path in export_segmenter_file(run, out, precisions):
            echo(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")
        return

    with if_interrupted(
        lambda: (
            f"{run / 'models'} is as it was before: run the same command again."
            if out is None
            else f"{out} has no card: run the same command again."
        )
    ):
        if out is not None:
            folder, card = export_weights(run, out, precisions, report, keep_float or ())
        else:
            folder, card = export_run(run, precisions, report, keep_float or ())
    for name, file in card.files.items():
        echo(
            f"{folder / name}: {file.bytes / 2**20:.2f} MiB, "
            f"least cosine with Keras {card.parity[file.precision]:.6f}"
        )
    if report:
        print_precision_report(folder / REPORT_NAME)


@app.command()
def evaluate(
    model: Annotated[
        list[Path],
        typer.Option(help="A .tflite or .keras file, or a run folder; give several to compare."),
    ],
    manifest: Annotated[
        list[Path],
        typer.Option(help="manifest.csv of a prepared dataset; several are evaluated together."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, report.html, occlusion.npz.")],
    split: Annotated[str, one_of((*SPLITS, ALL_SPLITS), "Which rows to compare.")] = SPLITS[-1],
    baseline: Annotated[
        str | None, one_of(BASELINES, "Compare with Open-Iris's IrisCode on the same images.")
    ] = None,
    segmenter_model: Annotated[
        Path | None,
        typer.Option(help="Network that prepare was given, for the baseline."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes for the baseline; -1: one per core.")] = -1,
    protocol: Annotated[
        str,
        one_of(
            PROTOCOLS,
            "same-eye: left with left and right with right only; across-datasets: images of "
            "different datasets are compared as impostors.",
        ),
    ] = PROTOCOLS[0],
    genuine: Annotated[
        Path | None, typer.Option(help="CSV of image pairs to compare, with --impostor.")
    ] = None,
    impostor: Annotated[
        Path | None, typer.Option(help="CSV of image pairs to compare, with --genuine.")
    ] = None,
    folds: Annotated[
        Path | None, typer.Option(help="LFW's pairs.txt: compare its pairs, in its folds.")
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=1, help="Bootstrap resamples of subjects, for confidence intervals.")
    ] = 1000,
    scores: Annotated[
        Path | None, typer.Option(help=".npz file to write: number of comparisons with each score.")
    ] = None,
    latency_runs: Annotated[
        int,
        typer.Option(min=0, help="Timed inferences of each .tflite, at least 50; 0: no timing."),
    ] = 50,
    occlusion_eyes: Annotated[
        int, typer.Option(min=0, help="Eyes with saliency maps of each model; 0: none.")
    ] = 4,
    by_similarity: Annotated[
        bool,
        typer.Option(
            "--by-similarity", help="Compare by similarity also where a model's card has scores."
        ),
    ] = False,
) -> None:
    """Compare all pairs of a split: EER, FNMR, CMC with confidence intervals.

    Pairs are compared by score where the model's card has scores, else by similarity.

    With several models, the others are compared with the first on the same
    resamples of subjects.
    """
    from iris_tf.evaluation.evaluate_model import EvaluationRequest
    from iris_tf.pipelines.evaluation_stage import METRICS_NAME, REPORT_NAME, evaluate_and_report
    from iris_tf.report.summary import summary

    if (genuine is None) != (impostor is None):
        raise typer.BadParameter("give both --genuine and --impostor, or neither")
    if any(path.suffix != ".tflite" for path in model):
        load_tensorflow()
    request = EvaluationRequest(
        model,
        manifest,
        split,
        protocol=protocol,
        pairs=None if genuine is None or impostor is None else (genuine, impostor),
        folds=folds,
        baseline=baseline,
        segmenter_model=segmenter_model,
        jobs=jobs,
        resamples=resamples,
        occlusion_eyes=occlusion_eyes,
        by_similarity=by_similarity,
    )
    with if_interrupted(lambda: "Nothing was written: run the same command again."):
        result = evaluate_and_report(request, out, scores, latency_runs)
    for line in summary(result):
        echo(line)
    echo(f"written to {out / METRICS_NAME}")
    if (out / REPORT_NAME).is_file():
        echo(f"report: {out / REPORT_NAME}")


app.command()(quantize)
add_verbs(app)
app.command()(enroll)
add_exchange_verbs(app)
add_serve_verb(app)
