"""What commands share: some options, how errors are told, how TensorFlow is loaded."""

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from iris_tf.data.layouts import LAYOUTS
from iris_tf.segmentation.segmenter import SEGMENTERS
from iris_tf.support.errors import IrisTfError
from iris_tf.support.files import FULL_DISK

Layout = StrEnum("Layout", {name.upper().replace("-", "_"): name for name in LAYOUTS})
SegmenterName = Annotated[
    str, typer.Option(help=f"Finds pupil and iris: {', '.join(sorted(SEGMENTERS))}.")
]


def report_errors(command: Callable[[], None]) -> None:
    """Run a command; an error that a user can mend is one sentence and exit status 2."""
    try:
        command()
    except IrisTfError as error:
        _fail(str(error))
    except OSError as error:
        where = error.filename or "The output folder"
        if error.errno in FULL_DISK:
            _fail(
                f"{where}: the disk is full; free some space and run the same command again, "
                "finished work is kept."
            )
        _fail(f"{where}: {error.strerror or error}; check the path and its permissions.")
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "keras"):
            raise
        _fail(
            "This needs TensorFlow, which is not installed; install the package with an extra: "
            "iris_tf[cpu] or iris_tf[gpu]."
        )


def _fail(sentence: str) -> None:
    typer.echo(f"Error: {sentence}", err=True)
    sys.exit(2)


def load_tensorflow() -> None:
    """Import TensorFlow and start its devices without their log lines."""
    from iris_tf.support.quiet import quiet

    # TensorFlow's default wherever it knows the processor; of a virtual one it may not, and
    # then trains less than half as fast.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with quiet(2):
        import tensorflow as tf

        tf.constant(0)
    # Its Python warnings (retracing, say) tell a user of this command nothing.
    tf.get_logger().setLevel("ERROR")
