"""`iris-tf embed`, `verify`, `identify` and `calibrate`."""

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iris_tf.cli.console import LayoutName, Scheduler, decision, echo, one_of
from iris_tf.cli.decision_json import identification_json, verification_json
from iris_tf.cli.keys import KeyOption, TransformOption, key_given, transform_given
from iris_tf.cli.searched_gallery import GalleryGiven, in_memory, searched_gallery
from iris_tf.cli.skipped_images import print_failed, print_failures
from iris_tf.config.names import (
    FALSE_MATCH_RATES,
    KINDS,
    OPERATING_POINTS,
    SCORE_RATES,
)
from iris_tf.data.layouts import AUTO
from iris_tf.support.errors import ExtractionError, ModelError, OutputError
from iris_tf.support.files import check_writable, real_path
from iris_tf.support.own_files import check_replaceable

if TYPE_CHECKING:
    from iris_tf.matching.calibration import Calibration
    from iris_tf.recognition.decisions import Identification, Verification
    from iris_tf.recognition.recognizer import IrisRecognizer
    from iris_tf.segmentation.quality import IrisQuality

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
    _print_verification(result)
    if result.operating_point in FALSE_MATCH_RATES:
        echo(
            f"one in {1 / FALSE_MATCH_RATES[result.operating_point]:,.0f} pairs of strangers "
            "reaches the threshold on the images that it comes from"
            f"{_support(recognizer, result.operating_point)}; on another camera it may be several "
            "times as many"
        )
    _print_circumstances(recognizer, result.quality)
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
    accepted = sum(match.same_eye for match in result.matches)
    ending = typer.Exit(2) if result.inconclusive else decision(accepted > 0)
    if as_json:
        echo(identification_json(result, recognizer, identities, top, found))
        raise ending
    if found is not None:
        print_failed(found)
    echo(f"gallery: {result.images} images of {identities} identities")
    if save_gallery is not None:
        plain = "" if secret else ", which is not encrypted (--key)"
        echo(f"gallery written to {save_gallery}{plain}")
    _print_matches(result, top)
    outcome = {0: "no identity reaches it", 1: f"the eye is {result.identity}'s"}.get(
        accepted, f"{accepted} identities reach it, the most similar is {result.identity}"
    )
    if result.inconclusive:
        outcome = f"inconclusive, {result.inconclusive}"
    echo(f"threshold {result.threshold:.6f} ({_called(result)}): {outcome}")
    if result.operating_point in SCORE_RATES:
        echo(
            f"an eye that is not enrolled would match any of these {result.images} images "
            f"by chance in one of {1 / SCORE_RATES[result.operating_point]:,.0f} searches: the "
            f"threshold of one comparison, {recognizer.thresholds[result.operating_point]:.6f}, "
            "is raised accordingly"
        )
    if result.operating_point in FALSE_MATCH_RATES:
        rate = 1.0 - (1.0 - FALSE_MATCH_RATES[result.operating_point]) ** result.images
        echo(
            f"an eye that is not enrolled would match one of these {result.images} images "
            f"by chance in up to {100 * rate:.1f} % of searches"
            f"{_support(recognizer, result.operating_point)}"
        )
    _print_circumstances(recognizer, result.quality)
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
    _print_gain(made)
    echo(f"written to {out}")


def _print_gain(made: "Calibration") -> None:
    gain = made.gain
    if not gain:
        echo("gain: not measured, it takes at least 20 eyes, half of which are held out")
        return
    by = "similarity" if made.score is None else "score"
    echo(
        f"gain by {by} on eyes that took no part ({gain['eyes']} eyes, in halves; "
        f"{gain.get('genuine_comparisons', 'unknown')} genuine, "
        f"{gain['impostor_comparisons']} impostor comparisons), before and after:"
    )
    before, after = gain["before"], gain["after"]
    if "eer" in before:
        echo(f"  EER {100 * before['eer']:.2f} % and {100 * after['eer']:.2f} %")
    for point in SCORE_RATES | FALSE_MATCH_RATES:
        figures = []
        if point in before["fmr"]:
            claim = (SCORE_RATES | FALSE_MATCH_RATES)[point]
            one, other = (figure["fmr"][point] / claim for figure in (before, after))
            figures.append(f"FMR {one:.2f} and {other:.2f} times the claim")
        if point in before.get("fnmr", {}):
            one, other = (100 * figure["fnmr"][point] for figure in (before, after))
            figures.append(f"FNMR {one:.2f} % and {other:.2f} %")
        if figures:
            echo(f"  {point}: {'; '.join(figures)}")
    if not before["fmr"]:
        echo(
            "  no FMR: at none of its operating points are 30 false matches to be expected; give "
            "images of more eyes"
        )


def _name_or_number(point: str | None) -> str | float | None:
    return point if point is None or point in _POINTS else float(point)


def _print_verification(result: "Verification") -> None:
    point = result.operating_point
    verdict = "same eye" if result.same_eye else "different eyes"
    similarity = f"similarity {result.similarity:.6f}"
    if result.inconclusive:
        echo(f"inconclusive: {result.inconclusive}")
    elif point not in SCORE_RATES:
        echo(f"{similarity}, threshold {result.threshold:.6f} ({_called(result)}): {verdict}")
    else:
        echo(f"score {result.score:.3f}, threshold {result.threshold:.3f} ({point}): {verdict}")
        echo(
            f"{similarity}; the score is the natural logarithm of the likelihood ratio, and one in "
            f"{1 / SCORE_RATES[point]:,.0f} pairs of strangers reaches the threshold"
        )


def _print_matches(result: "Identification", top: int) -> None:
    """Print the best identities as a table, and what makes some of all inconclusive."""
    shown = result.matches[:top]
    width = max(len("identity"), *(len(match.identity) for match in shown))
    heading = f"{'score':>9}  " if result.operating_point in SCORE_RATES else ""
    echo(f"rank  {'identity':<{width}}  {heading}similarity  decision        image")
    for rank, match in enumerate(shown, start=1):
        verdict = "same eye" if match.same_eye else "different eyes"
        if match.inconclusive:
            verdict = "inconclusive"
        score = "" if match.score is None else f"{match.score:>9.3f}  "
        echo(
            f"{rank:>4}  {match.identity:<{width}}  {score}{match.similarity:>10.6f}  "
            f"{verdict:<14}  {match.image}"
        )
    unknown = [match for match in result.matches if match.inconclusive]
    if unknown and not result.inconclusive:
        echo(
            f"inconclusive for {len(unknown)} of {len(result.matches)} identities, of "
            f"{unknown[0].identity} because {unknown[0].inconclusive}"
        )


def _called(result: "Verification | Identification") -> str:
    return result.operating_point or "given as a number"


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


def _print_circumstances(recognizer: "IrisRecognizer", quality: "IrisQuality | None") -> None:
    """Print the circumstances of a result: the probe's quality, and the calibration."""
    if quality is not None:
        figures = dataclasses.asdict(quality).items()
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in figures)
        echo(f"quality of the probe: {shown}")
    calibration = recognizer.calibration
    echo(f"calibration: {'none' if calibration is None else calibration.id}")


def _support(recognizer: "IrisRecognizer", point: str) -> str:
    """The comparisons that the rate of a threshold comes from, where their number is known."""
    from iris_tf.metrics.metrics import RULE_OF_30

    calibration = recognizer.calibration
    if calibration is not None:
        found = calibration.impostors
        return f" (threshold from {found.pairs} impostor comparisons, {found.methods[point]})"
    pairs = recognizer.card.thresholds_from.get("impostor_comparisons")
    if not isinstance(pairs, int):
        return ""
    few = ", too few to support this rate" if pairs * FALSE_MATCH_RATES[point] < RULE_OF_30 else ""
    return f" (threshold from {pairs} impostor comparisons{few})"


def _beside_the_model(recognizer: "IrisRecognizer", name: str) -> Path:
    folder = recognizer.model.parent
    if not os.access(folder, os.W_OK):
        raise ModelError(
            f"{folder}: the model's folder cannot be written; give a file for the calibration by "
            "--out."
        )
    return folder / f"calibration-{name}.json"
