"""Commands for what others publish: checkpoints, sets of pairs, protocols."""

from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import echo, load_tensorflow, one_of
from iris_tf.config.names import CHANNELS, POOLINGS
from iris_tf.data.ufpr_periocular import WORLDS


def add_exchange_verbs(app: typer.Typer) -> None:
    """Add the commands of this file to an application."""
    app.command("convert")(convert)
    app.command("evaluate-pairs")(evaluate_pairs)
    app.command("ufpr-protocol")(ufpr_protocol)
    app.command("lfw-halves")(lfw_halves)


def convert(
    network: Annotated[str, typer.Argument(help="Network of the checkpoint, e.g. mobilefacenet.")],
    checkpoint: Annotated[Path, typer.Argument(help="Public checkpoint, .h5 or .npz.")],
    out: Annotated[Path, typer.Argument(help=".keras file to write.")],
    input_size: Annotated[
        tuple[int, int], typer.Option(metavar="HEIGHT WIDTH", help="Size of its crops.")
    ] = (112, 112),
    embedding_size: Annotated[int, typer.Option(help="Dimensions of its embedding.")] = 512,
    pooling: Annotated[str, one_of(POOLINGS, "Of its head; MobileFaceNet's: gdconv.")] = "average",
    channels: Annotated[str, one_of(map(str, CHANNELS), "Of the crops it will be given.")] = str(
        CHANNELS[-1]
    ),
) -> None:
    """Convert a public checkpoint to a .keras file, as a teacher or initial weights.

    Reads weights of keras.applications, FaceNet, InsightFace and torchvision: .h5
    files of Keras models, and .npz files of PyTorch state dictionaries. No code of
    the file runs.
    """
    from iris_tf.support.files import check_writable
    from iris_tf.support.own_files import check_replaceable

    check_writable(out)
    check_replaceable(out, ["metadata.json", "config.json", "model.weights.h5"])
    load_tensorflow()
    from iris_tf.networks.convert_checkpoint import convert_checkpoint

    convert_checkpoint(network, checkpoint, out, input_size, embedding_size, pooling, int(channels))
    echo(f"written to {out}")


def ufpr_protocol(
    folder: Annotated[Path, typer.Argument(help="UFPR-Periocular as distributed.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    world: Annotated[str, one_of(WORLDS, "Protocol.")] = "open",
    fold: Annotated[int, typer.Option(min=1, max=3, help="Fold.")] = 1,
) -> None:
    """Turn a fold of one of UFPR-Periocular's protocols into tables.

    Writes split.csv for `prepare --split`, and genuine.csv and impostor.csv for
    `evaluate`.
    """
    from iris_tf.data.ufpr_periocular import write_ufpr_protocol

    for path in write_ufpr_protocol(folder, world, fold, out):
        echo(f"written to {path}")


def lfw_halves(
    images: Annotated[Path, typer.Argument(help="LFW as distributed.")],
    pairs: Annotated[Path, typer.Argument(help="LFW's pairs.txt.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
) -> None:
    """Divide LFW into two halves, to train on one and test on the other.

    Writes half1 and half2: split.csv for `prepare --split` or `dataset.split` in
    a recipe, and pairs.txt for `evaluate --split test --folds`.
    """
    from iris_tf.evaluation.lfw_halves import write_lfw_halves

    for half in write_lfw_halves(images, pairs, out):
        counts = ", ".join(f"{count} {name}" for name, count in sorted(half.subjects.items()))
        echo(f"written to {half.split.parent}: subjects {counts}")


def evaluate_pairs(
    model: Annotated[Path, typer.Argument(help="A .tflite or .keras file, or a run folder.")],
    pairs: Annotated[Path, typer.Argument(help="InsightFace's .bin set of image pairs.")],
    out: Annotated[Path | None, typer.Option(help=".json file to write.")] = None,
) -> None:
    """Measure accuracy over ten folds on a set of pairs such as lfw.bin.

    A set that holds anything but images and booleans is refused, since its
    format could run code.
    """
    from iris_tf.support.files import check_writable
    from iris_tf.support.own_files import check_replaceable

    if out is not None:
        check_writable(out)
        check_replaceable(out, ["comparisons", "accuracies", "sweep"])
    if model.suffix != ".tflite":
        load_tensorflow()
    from iris_tf.evaluation.fold_protocol import evaluate_pair_set
    from iris_tf.recognition.open_model import open_model
    from iris_tf.report.summary import fold_summary
    from iris_tf.support.files import write_json

    found = evaluate_pair_set(pairs, open_model(model))
    for line in fold_summary(model.name, found):
        echo(line)
    if out is not None:
        write_json(out, found)
        echo(f"written to {out}")
