"""`iris-tf embed`, `verify`, `identify`, `calibrate`: each parses, calls one function, prints."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iris_tf.cli.console import LayoutName, decision, one_of
from iris_tf.config.names import FALSE_MATCH_RATES, OPERATING_POINTS
from iris_tf.data.layouts import AUTO
from iris_tf.support.errors import ExtractionError, ModelError
from iris_tf.support.files import check_writable

if TYPE_CHECKING:
    from iris_tf.matching.gallery import Gallery
    from iris_tf.recognition.embed_folder import EmbeddedFolder
    from iris_tf.recognition.recognizer import IrisRecognizer
    from iris_tf.segmentation.quality import IrisQuality

Kind = StrEnum("Kind", ["auto", "eye", "roi"])
ModelFile = Annotated[
    Path | None,
    typer.Option("--model", help="A .tflite file beside its model card; the released one if none."),
]
KindOption = Annotated[Kind, typer.Option(help="What the images are.")]
PointOption = Annotated[
    str,
    one_of(
        OPERATING_POINTS,
        "Of the model card, or of the calibration.",
        "--operating-point",
        "--threshold",
    ),
]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", help="A file of `iris-tf calibrate`.")
]


def add_verbs(app: typer.Typer) -> None:
    """Give `iris-tf` the verbs of this module."""
    for verb in (embed, verify, identify, calibrate):
        app.command()(verb)


def embed(
    images: Annotated[list[Path], typer.Argument(help="ROI crops or eye images.")],
    model: ModelFile = None,
    kind: KindOption = Kind.auto,
    calibration: CalibrationFile = None,
) -> None:
    """Print the embedding of each image as a line of JSON; with a calibration, adapted by it.

    An image that cannot be used is named on standard error and does not stop
    the others; the exit status is 2 then.
    """
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model, calibration=calibration)
    failed = False
    for path in images:
        try:
            [embedding] = recognizer.embed([path], kind.value)
        except ExtractionError as error:
            typer.echo(f"Error: {error}", err=True)
            failed = True
            continue
        typer.echo(json.dumps({"image": str(path), "embedding": embedding.tolist()}))
    if failed:
        raise typer.Exit(2)


def verify(
    a: Annotated[Path, typer.Argument(help="Eye image or ROI crop, enrolled.")],
    b: Annotated[Path, typer.Argument(help="Eye image or ROI crop, the probe.")],
    model: ModelFile = None,
    operating_point: PointOption = "far_1e-2",
    kind: KindOption = Kind.auto,
    calibration: CalibrationFile = None,
) -> None:
    """Say whether two images show the same eye. Exit status 0 if so, 1 if not.

    The threshold is the model card's, which says what it was estimated on, or the
    calibration's.
    """
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model, calibration=calibration)
    template = recognizer.enroll(a, kind.value)
    result = recognizer.verify(template, b, operating_point, kind.value)
    typer.echo(
        f"similarity {result.similarity:.6f}, threshold {result.threshold:.6f} "
        f"({result.operating_point}): {'same eye' if result.same_eye else 'different eyes'}"
    )
    _print_circumstances(recognizer, result.quality)
    raise decision(result.same_eye)


def identify(
    probe: Annotated[Path, typer.Argument(help="Eye image or ROI crop.")],
    gallery: Annotated[
        Path, typer.Option(help="Folder of enrolled images, or a file of --save-gallery.")
    ],
    model: ModelFile = None,
    top: Annotated[int, typer.Option(min=1, help="Identities to print.")] = 5,
    operating_point: PointOption = "far_1e-3",
    layout: LayoutName = AUTO,
    kind: Annotated[Kind, typer.Option(help="What the probe is.")] = Kind.auto,
    calibration: CalibrationFile = None,
    save_gallery: Annotated[
        Path | None, typer.Option(help=".npz file to write, to be given as --gallery later.")
    ] = None,
) -> None:
    """Search an eye among enrolled ones. Exit status 0 if one is over the threshold, 1 if not.

    An identity's similarity is that of its most similar image. In a folder of
    images without subfolders, each image is an identity of its own.
    """
    from iris_tf.recognition.recognizer import IrisRecognizer

    if save_gallery is not None:
        check_writable(save_gallery)
    recognizer = IrisRecognizer(model, calibration=calibration)
    template = recognizer.enroll(probe, kind.value)  # fails before a long enrolment does
    recognizer.threshold(operating_point)
    enrolled = _gallery(recognizer, gallery, layout)
    if save_gallery is not None:
        enrolled.save(save_gallery)
        typer.echo(f"gallery written to {save_gallery}")
    result = recognizer.identify(template, enrolled, operating_point)
    shown = result.matches[:top]
    width = max(len("identity"), *(len(match.identity) for match in shown))
    typer.echo(f"rank  {'identity':<{width}}  similarity  decision        image")
    for rank, match in enumerate(shown, start=1):
        taken_for = "same eye" if match.same_eye else "different eyes"
        typer.echo(
            f"{rank:>4}  {match.identity:<{width}}  {match.similarity:>10.6f}  {taken_for:<14}  "
            f"{match.image}"
        )
    over = sum(match.same_eye for match in result.matches)
    verdict = {0: "no identity is over it", 1: f"the eye is {result.identity}'s"}.get(
        over, f"{over} identities are over it, the most similar is {result.identity}"
    )
    typer.echo(f"threshold {result.threshold:.6f} ({result.operating_point}): {verdict}")
    if operating_point in FALSE_MATCH_RATES:
        rate = 1.0 - (1.0 - FALSE_MATCH_RATES[operating_point]) ** len(enrolled.images)
        typer.echo(
            f"a stranger's eye would be taken for one of these {len(enrolled.images)} images by "
            f"chance in up to {100 * rate:.1f} % of searches"
            f"{_support(recognizer, operating_point)}"
        )
    _print_circumstances(recognizer, result.quality)
    raise decision(over > 0)


def calibrate(
    images: Annotated[Path, typer.Option(help="Folder of eye images of one camera.")],
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to write; calibration-<folder>.json beside the model if none"),
    ] = None,
    model: ModelFile = None,
    layout: LayoutName = AUTO,
) -> None:
    """Adapt a model to a camera with some hundred images that need no labels.

    What all these images have in common then counts for less, and thresholds are set by
    how different eyes compare. Give as many eyes as possible, few images of
    each. Where the layout tells who is who, pairs of one eye are left out; elsewhere
    those that look like it. Folders of no known set may be days, so they tell it only with
    `--layout`, for instance `--layout folder`.
    """
    from iris_tf.recognition.calibrate_camera import calibrate
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model)
    name = out.stem.removeprefix("calibration-") if out else images.resolve().name
    name = re.sub(r"[^\w.-]+", "-", name).strip("-") or "camera"
    out = out or _beside_the_model(recognizer, name)
    check_writable(out)
    made = calibrate(recognizer, images, name, layout)
    made.write(out)
    whose = (
        "who is who is not known, pairs that look like one eye's left out"
        if made.eyes is None
        else f"{made.eyes} eyes, pairs of one eye left out"
    )
    typer.echo(f"calibration {name} of {made.model}: {made.images} images, {whose}")
    _print_failures(list(made.failures.items()))
    found = made.impostors
    typer.echo(
        f"{found.pairs} pairs: median similarity {found.median:.4f}, spread of "
        f"{found.dimensions:.1f} dimensions"
    )
    for point, threshold in found.thresholds.items():
        typer.echo(
            f"{point}: threshold {threshold:.6f} ({found.methods[point]}), without calibration "
            f"{recognizer.thresholds[point]:.6f}"
        )
    typer.echo(f"written to {out}")


def _gallery(recognizer: "IrisRecognizer", path: Path, layout: str) -> "Gallery":
    """Load a gallery, or enrol a folder and say what came of it."""
    from iris_tf.matching.gallery import Gallery
    from iris_tf.recognition.embed_folder import embed_folder

    if path.is_file():
        gallery = Gallery.load(path)
        recognizer.origin.require(gallery.origin, f"{path}: the gallery")
    else:
        found = embed_folder(recognizer, path, layout, "Enrolling")
        gallery = found.gallery(recognizer.origin)
        _print_failed(found)
    typer.echo(
        f"gallery: {len(gallery.images)} images of {len(set(gallery.identities))} identities"
    )
    return gallery


def _print_failed(found: "EmbeddedFolder") -> None:
    _print_failures(
        [
            (reason, count, next(image for image, why in found.failed if why == reason))
            for reason, count in found.failures.items()
        ]
    )
    if found.outside:
        typer.echo(f"  not in the layout {found.layout}: {found.outside}")


def _print_failures(failures: Sequence[tuple]) -> None:
    for reason, count, *example in failures:
        typer.echo(f"  skipped, {reason}: {count}" + (f" ({example[0]})" if example else ""))


def _print_circumstances(recognizer: "IrisRecognizer", quality: "IrisQuality | None") -> None:
    """What a result rests on: the probe's quality, and the calibration."""
    if quality is not None:
        figures = dataclasses.asdict(quality).items()
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in figures)
        typer.echo(f"quality of the probe: {shown}")
    calibration = recognizer.calibration
    typer.echo(f"calibration: {'none' if calibration is None else calibration.id}")


def _support(recognizer: "IrisRecognizer", point: str) -> str:
    """On how much the rate of a threshold rests, where that is known."""
    from iris_tf.metrics.figures import RULE_OF_30

    calibration = recognizer.calibration
    if calibration is not None:
        found = calibration.impostors
        return f" (threshold from {found.pairs} pairs, {found.methods[point]})"
    pairs = recognizer.card.thresholds_from.get("impostor_comparisons")
    if not isinstance(pairs, int):
        return ""
    few = (
        ", too few to be sure of its rate" if pairs * FALSE_MATCH_RATES[point] < RULE_OF_30 else ""
    )
    return f" (threshold from {pairs} comparisons of different eyes{few})"


def _beside_the_model(recognizer: "IrisRecognizer", name: str) -> Path:
    folder = recognizer.model.parent
    if not os.access(folder, os.W_OK):
        raise ModelError(
            f"{folder}: the model's folder cannot be written; say with --out where to put the "
            "calibration."
        )
    return folder / f"calibration-{name}.json"
