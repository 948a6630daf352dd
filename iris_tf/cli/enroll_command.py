"""`iris-tf enroll`: galleries in folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iris_tf.cli.console import RESUMES, LayoutName, echo, if_interrupted, listed
from iris_tf.cli.keys import KeyOption, TransformOption, key_given, transform_given
from iris_tf.cli.recognition_commands import CalibrationFile, ModelFile, SegmenterModel
from iris_tf.cli.skipped_images import print_failed
from iris_tf.data.layouts import AUTO
from iris_tf.support.errors import ArgumentError, ModelError

if TYPE_CHECKING:
    from iris_tf.matching.gallery_folder import GalleryFolder
    from iris_tf.matching.gallery_writer import GalleryWriter

_WASTED = 0.25  # share of the rows that a removal may leave behind before files are compacted


def enroll(
    gallery: Annotated[Path, typer.Option(help="Gallery folder; made if it is missing.")],
    images: Annotated[
        Path | None, typer.Argument(help="Folder of images to enrol, a subfolder per identity.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Images of an identity replace all its earlier ones."),
    ] = False,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="IDENTITY", help="Remove; repeat for several.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Write the files without what was removed.")
    ] = False,
    layout: LayoutName = AUTO,
    model: ModelFile = None,
    calibration: CalibrationFile = None,
    segmenter_model: SegmenterModel = None,
    transform: TransformOption = None,
    key: KeyOption = None,
) -> None:
    """Add, replace or remove identities of a gallery for `identify`.

    An image that cannot be used is counted and skipped. An interrupted enrolment continues with the
    same command: what was enrolled stays, whatever ends the process.
    """
    if images is None and not remove and not compact:
        raise ArgumentError(
            "There is nothing to do; give a folder of images, --remove IDENTITY, or --compact."
        )
    from iris_tf.matching.gallery_folder import GalleryFolder
    from iris_tf.recognition.embed_folder import scan_images
    from iris_tf.recognition.enroll_folder import enroll_folder
    from iris_tf.recognition.recognizer import IrisRecognizer

    secret = key_given(key)
    with if_interrupted(lambda: RESUMES):
        if images is None:
            opened = GalleryFolder(gallery, secret)
        else:
            scan_images(images, layout)  # before a gallery is made
            recognizer = IrisRecognizer(
                model, calibration=calibration, segmenter_model=segmenter_model
            )
            keyed, kind = transform_given(transform, recognizer), recognizer.template_kind
            if keyed is not None:
                kind = kind.with_origin(keyed.origin(kind.origin))
            opened = GalleryFolder.make(gallery, kind, secret)
        with opened.writing() as writer:
            if remove:
                _remove(opened, writer, remove)
            if images is not None:
                found = enroll_folder(recognizer, opened, writer, images, layout, replace, keyed)
                echo(f"{found.enrolled} images enrolled, {found.unchanged} were enrolled before")
                print_failed(found)
            if compact or writer.wasted > _WASTED:
                writer.compact()
    plain = "" if opened.encrypted else ", which is not encrypted"
    echo(
        f"gallery {gallery}{plain}: {len(opened)} images of {opened.count_identities()} identities"
    )


def _remove(gallery: "GalleryFolder", writer: "GalleryWriter", identities: list[str]) -> None:
    unknown = [identity for identity in identities if not gallery.images_of(identity)]
    if unknown:
        raise ModelError(
            f"{gallery.path}: {listed(unknown)} not enrolled, so nothing was removed; check the "
            "spelling."
        )
    count = writer.remove(identities)
    echo(f"{count} images of {listed(identities)} removed")
