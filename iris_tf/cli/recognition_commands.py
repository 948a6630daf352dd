"""`iris-tf embed`, `verify`, `identify` and `calibrate`."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iris_tf.cli.console import LayoutName, Scheduler, decision, echo, one_of
from iris_tf.cli.decision_json import identification_json, verification_json
from iris_tf.cli.decision_text import print_gain, print_identification, print_verification
from iris_tf.cli.keys import KeyOption, TransformOption, key_given, transform_given
from iris_tf.cli.searched_gallery import GalleryGiven, in_memory, searched_gallery
from iris_tf.cli.skipped_images import print_failed, print_failures
from iris_tf.config.names import KINDS, OPERATING_POINTS, SCORE_RATES
from iris_tf.data.layouts import AUTO
from iris_tf.support.errors import ExtractionError, ModelError, OutputError
from iris_tf.support.files import check_writable, real_path
from iris_tf.support.own_files import check_replaceable

if TYPE_CHECKING:
    from iris_tf.recognition.recognizer import IrisRecognizer

ModelFile = Annotated[
    Path | None,
    typer.Option(
        "--model", help="A .tflite file beside its model card; by default the released model."
    ),
]
KindOption = Annotated[str, one_of(KINDS, "Whether the images are eye images or ROI crops.")]


_POINTS = (*OPERATING_POINTS, *SCORE_RATES)


def _point(value: str) -> str:
    """Check that a text is the name of an operating point, or a number."""
    if value not in _POINTS:
        try:
            float(value)
        except ValueError:
            names = ", ".join(_POINTS)
            raise typer.BadParameter(f"{value!r} is neither a number nor one of {names}.") from None
    return value


PointOption = Annotated[
    str | None,
    typer.Option(
        "--operating-point",
        "--threshold",
        parser=_point,
        metavar=f"[{'|'.join(_POINTS)}|NUMBER]",
        help="Name of a threshold of the card or calibration, or the least similarity itself.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", help="A file that `iris-tf calibrate` wrote.")
]
SegmenterModel = Annotated[
    Path | None,
    typer.Option(
        "--segmenter-model", help="File with the segmenter's network, if not its default."
    ),
]


def add_verbs(app: typer.Typer) -> None:
    """Add the commands of this module to `iris-tf`."""
    for verb in (embed, verify, identify, calibrate):
        app.command()(verb)


def embed(
    images: Annotated[list[Path], typer.Argument(help="ROI crops or eye images.")],
    model: ModelFile = None,
    kind: KindOption = KINDS[0],
    calibration: CalibrationFile = None,
    segmenter_model: SegmenterModel = None,
) -> None:
    """Print the embedding of each image as a line of JSON, adapted by a calibration if given.

    An image that cannot be used is reported on standard error, the others are embedded all the
    same, and the exit status is 2.
    """
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model, calibration=calibration, segmenter_model=segmenter_model)
    failed = False
    for path in images:
        try:
            [embedding] = recognizer.embed([path], kind)
        except ExtractionError as error:
            echo(f"Error: {error}", err=True)
            failed = True
            continue
        echo(json.dumps({"image": str(path), "embedding": embedding.tolist()}))
    if failed:
        raise typer.Exit(2)


def verify(
    a: Annotated[Path, typer.Argument(help="Eye image or ROI crop to enrol.")],
    b: Annotated[Path, typer.Argument(help="Eye image or ROI crop to verify.")],
    model: ModelFile = None,
    operating_point: PointOption = None,
    kind: KindOption = KINDS[0],
    calibration: CalibrationFile = None,
    segmenter_model: SegmenterModel = None,
    as_json: JsonOption = False,
) -> None:
    """Decide whether two images show the same eye: exit status 0 if so, 1 if not.

    The decision is by score where the model card or, if one is given, the calibration has scores:
    at a false match rate of 1 in 10,000 unless another is named. Otherwise, at a point named
    far_..., or at a number, it is by similarity. If the images show too little to decide, the exit
    status is 2.
    """
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model, calibration=calibration, segmenter_model=segmenter_model)
    template = recognizer.enroll(a, kind)
    point = _name_or_number(operating_point)
    result = recognizer.verify(template, b, point, kind)
    outcome = typer.Exit(2) if result.inconclusive else decision(result.same_eye)
    if as_json:
        echo(verification_json(result, recognizer))
        raise outcome
    print_verification(result, recognizer)
    raise outcome


def identify(
    probe: Annotated[Path, typer.Argument(help="Eye image or ROI crop.")],
    gallery: Annotated[
        list[Path],
        typer.Option(
            help="Folder that `iris-tf enroll` made, folder of images to enrol for this search, "
            "or a file from --save-gallery; repeat, or give a folder of such folders, for shards."
        ),
    ],
    model: ModelFile = None,
    top: Annotated[int, typer.Option(min=1, help="Number of identities to print.")] = 5,
    operating_point: PointOption = None,
    layout: LayoutName = AUTO,
    kind: Annotated[
        str, one_of(KINDS, "Whether the probe is an eye image or an ROI crop.")
    ] = KINDS[0],
    calibration: CalibrationFile = None,
    segmenter_model: SegmenterModel = None,
    save_gallery: Annotated[
        Path | None, typer.Option(help=".npz file to write, for --gallery in later calls.")
    ] = None,
    key: KeyOption = None,
    transform: TransformOption = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Compare every image of a gallery made by `iris-tf enroll`; slow."
        ),
    ] = False,
    scheduler: Scheduler = None,
    as_json: JsonOption = False,
) -> None:
    """Search a gallery for an eye: exit status 0 if an identity reaches the threshold, else 1.

    Score and similarity of an identity are those of its best image. In a folder without subfolders,
    each image is an identity of its own. If probe and gallery show too little to compare the probe
    with any image, the exit status is 2.
    """
    from iris_tf.recognition.recognizer import IrisRecognizer

    secret = key_given(key)
    if save_gallery is not None:
        check_writable(save_gallery)
        _check_no_other_file(save_gallery)
    recognizer = IrisRecognizer(model, calibration=calibration, segmenter_model=segmenter_model)
    # Before the gallery, whose enrolment may take long.
    template, keyed = recognizer.enroll(probe, kind), transform_given(transform, recognizer)
    if keyed is not None:
        template = keyed.template(template)
    point = _name_or_number(operating_point)
    if point is not None:
        recognizer.threshold(point)
    given = GalleryGiven(gallery, layout, key, scheduler)
    with searched_gallery(given, recognizer, keyed) as (enrolled, found):
        if save_gallery is not None:
            in_memory(enrolled).save(save_gallery, secret)
        result = recognizer.identify(template, enrolled, point, exact=exact)
        identities = enrolled.count_identities()
    ending = typer.Exit(2) if result.inconclusive else decision(result.identity is not None)
    if as_json:
        echo(identification_json(result, recognizer, identities, top, found))
        raise ending
    if found is not None:
        print_failed(found)
    echo(f"gallery: {result.images} images of {identities} identities")
    if save_gallery is not None:
        plain = "" if secret else ", which is not encrypted (--key)"
        echo(f"gallery written to {save_gallery}{plain}")
    print_identification(result, recognizer, top)
    raise ending


def calibrate(
    images: Annotated[Path, typer.Option(help="Folder of eye images of one camera.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSON file to write; by default calibration-<folder>.json beside the model."
        ),
    ] = None,
    model: ModelFile = None,
    layout: LayoutName = AUTO,
    segmenter_model: SegmenterModel = None,
) -> None:
    """Adapt a model to a camera by a few hundred images, which need no labels.

    Components that the embeddings of all these images share are down-weighted, and thresholds are
    set by impostor comparisons. Give as many eyes as possible, with few images of each. Where the
    layout gives the identities, comparisons within an identity are left out; elsewhere,
    comparisons within an apparent identity. The names of subfolders that follow no published
    layout may be anything, such as dates, so they are taken for identities only with `--layout`,
    for instance `--layout folder`.
    """
    from iris_tf.recognition.calibrate_camera import calibrate
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model, segmenter_model=segmenter_model)
    name = out.stem.removeprefix("calibration-") if out else real_path(images).name
    name = re.sub(r"[^\w.-]+", "-", name).strip("-") or "camera"
    out = out or _beside_the_model(recognizer, name)
    check_writable(out)
    check_replaceable(out, ["schema_version", "model_sha256", "matrix"])
    made = calibrate(recognizer, images, name, layout)
    made.write(out)
    identities = (
        "identities unknown, comparisons within apparent identities left out"
        if made.eyes is None
        else f"{made.eyes} eyes, comparisons within an eye left out"
    )
    echo(f"calibration {name} of {made.model}: {made.images} images, {identities}")
    print_failures(list(made.failures.items()))
    found = made.impostors
    echo(
        f"{found.pairs} impostor comparisons: median similarity {found.median:.4f}, spread of "
        f"random directions in {found.dimensions:.1f} dimensions"
    )
    for point, threshold in found.thresholds.items():
        echo(
            f"{point}: threshold {threshold:.6f} ({found.methods[point]}), without calibration "
            f"{recognizer.thresholds[point]:.6f}"
        )
    print_gain(made)
    echo(f"written to {out}")


def _name_or_number(point: str | None) -> str | float | None:
    return point if point is None or point in _POINTS else float(point)


def _check_no_other_file(gallery: Path) -> None:
    """Refuse to overwrite what is no gallery file, plain or encrypted."""
    from iris_tf.matching.sealed_files import is_sealed, read_header

    if not gallery.is_file() or not is_sealed(gallery):
        check_replaceable(gallery, ["kind", "embeddings", "identities"])
    elif read_header(gallery).header.get("kind") != "gallery":
        raise OutputError(
            f"{gallery}: exists and is an encrypted template, so it is not overwritten; choose "
            "another name."
        )


def _beside_the_model(recognizer: "IrisRecognizer", name: str) -> Path:
    folder = recognizer.model.parent
    if not os.access(folder, os.W_OK):
        raise ModelError(
            f"{folder}: the model's folder cannot be written; give a file for the calibration by "
            "--out."
        )
    return folder / f"calibration-{name}.json"
