"""`iris-tf gallery`: keys, encryption, rotation and audit of stored templates."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iris_tf.cli.console import RESUMES, echo, if_interrupted
from iris_tf.cli.keys import (
    KeyOption,
    TransformOption,
    key_given,
    key_required,
    transform_given,
)
from iris_tf.cli.recognition_commands import CalibrationFile, ModelFile
from iris_tf.support.errors import IrisTfError

if TYPE_CHECKING:
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.protected_files import FileProtection

gallery = typer.Typer(
    no_args_is_help=True, help="Protect stored templates: keys, encryption, audit."
)

Files = Annotated[
    list[Path], typer.Argument(help="Templates and galleries (.npz), or folders with some.")
]


@gallery.command()
def key(
    where: Annotated[
        str, typer.Argument(metavar="FILE|keyring:NAME", help="File to write, or entry to make.")
    ],
) -> None:
    """Make a key: a file that only its owner may read, or an entry of the system's keyring.

    A key that is lost cannot be replaced, nor can what it encrypts be read.
    """
    from iris_tf.matching.sealed_files import encryption_id
    from iris_tf.matching.secret_keys import SecretKey

    made = SecretKey.new()
    made.save(where)
    echo(f"key {encryption_id(made)} written to {where}; keep a copy elsewhere")


@gallery.command()
def encrypt(files: Files, key: KeyOption = None) -> None:
    """Encrypt plain templates and galleries in place.

    What was plain may still lie in copies, backups and freed blocks of the disk.
    """
    from iris_tf.matching.protected_files import encrypt_stored, files_of_templates
    from iris_tf.matching.sealed_files import encryption_id

    secret = key_required(key)
    done = skipped = 0
    with if_interrupted(lambda: RESUMES):
        for path in files_of_templates(files):
            changed = encrypt_stored(path, secret)
            done, skipped = done + changed, skipped + (not changed)
    echo(f"encrypted with the key {encryption_id(secret)}: {done}, before: {skipped}")


@gallery.command()
def rotate(
    files: Files,
    new_key: Annotated[
        str, typer.Option(metavar="FILE|keyring:NAME", help="Key that takes its place.")
    ],
    key: KeyOption = None,
) -> None:
    """Change the key of encrypted templates and galleries, whose contents do not change.

    Each is changed whole, so an interrupted rotation leaves all of them readable with one of the
    keys, and the same command goes on. Plain ones are refused.
    """
    from iris_tf.matching.protected_files import files_of_templates, rotate_stored
    from iris_tf.matching.sealed_files import encryption_id
    from iris_tf.matching.secret_keys import key_or_none

    old, new = key_required(key), key_or_none(new_key)
    assert new is not None  # required
    done = skipped = 0
    with if_interrupted(lambda: RESUMES):
        for path in files_of_templates(files):
            changed = rotate_stored(path, old, new)
            done, skipped = done + changed, skipped + (not changed)
    echo(f"encrypted with the key {encryption_id(new)}: {done}, before: {skipped}")


@gallery.command()
def transform(
    source: Annotated[Path, typer.Argument(help="Gallery folder, or gallery file (.npz).")],
    out: Annotated[Path, typer.Argument(help="Folder or file to write; must not exist.")],
    new: TransformOption = None,
    former: Annotated[
        str | None,
        typer.Option(metavar="FILE|keyring:NAME", help="Key of the transform that it replaces."),
    ] = None,
    model: ModelFile = None,
    calibration: CalibrationFile = None,
    key: KeyOption = None,
) -> None:
    """Copy a gallery under a keyed transform, or under another one, without new enrolment.

    Replaces a gallery that has leaked, and protects one that was plain.
    """
    from iris_tf.matching.transformed_copies import transformed_copy
    from iris_tf.recognition.recognizer import IrisRecognizer

    recognizer = IrisRecognizer(model, calibration=calibration)
    keyed, replaced = (transform_given(option, recognizer) for option in (new, former))
    if keyed is None:
        raise typer.BadParameter("give --transform; `iris-tf gallery key` makes a key")

    def change(part: "Gallery") -> "Gallery":
        plain = dataclasses.replace(part.origin, transform="")
        recognizer.origin.require(plain, f"{source}: the gallery")
        return keyed.gallery(part) if replaced is None else keyed.replacing(replaced, part)

    copy = transformed_copy(source, out, change, key_given(key))
    echo(f"{len(copy)} images under the transform {keyed.id} written to {out}")


@gallery.command()
def audit(
    files: Files,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Tell how stored templates are protected, without a key.

    What is encrypted and with which key, which model, calibration and keyed transform made it, and
    who may read it.
    """
    from iris_tf.matching.protected_files import FileProtection, files_of_templates

    found: list[FileProtection] = []
    failed: dict[Path, str] = {}
    for path in files_of_templates(files):
        try:
            found.append(FileProtection.of(path))
        except IrisTfError as error:
            failed[path] = str(error)
    if as_json:
        echo(json.dumps([_as_json(file) for file in found]))
    else:
        _print(found)
    for message in failed.values():
        echo(f"Error: {message}", err=True)
    if failed:
        raise typer.Exit(2)


def _as_json(file: "FileProtection") -> dict[str, object]:
    values = dataclasses.asdict(file)
    return values | {"path": str(file.path), "mode": f"{file.mode:04o}"}


def _print(found: "list[FileProtection]") -> None:
    for file in found:
        encryption = f"{file.cipher}, key {file.key_id}" if file.cipher else "plain"
        echo(f"{file.path}: {file.kind}, {encryption}, mode {file.mode:04o}")
        origin = file.origin
        echo(
            f"  model {origin.model} (SHA-256 {origin.model_sha256[:12]}), "
            f"calibration {origin.calibration or 'none'}, transform {origin.transform or 'none'}"
        )
    plain = sum(not file.cipher for file in found)
    open_to_others = sum(file.others_may_read for file in found)
    echo(f"{len(found)} files: {plain} plain, {open_to_others} that others than the owner may read")
