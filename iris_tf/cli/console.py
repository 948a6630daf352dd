"""Shared by all commands: common options, exit status, error messages, loading of TensorFlow."""

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from iris_tf.cli import INTERNAL_ERROR
from iris_tf.cli.surroundings import settle
from iris_tf.data.layouts import LAYOUTS
from iris_tf.segmentation.segmenter import SEGMENTERS
from iris_tf.support.errors import IrisTfError
from iris_tf.support.files import FULL_DISK
from iris_tf.support.temporary_names import temporary_files_together


def one_of(
    names: Iterable[str], help: str, *flags: str, aliases: Mapping[str, str] | None = None
) -> Any:
    """Option that takes one of several names, or an alias of one."""
    choices = list(names)

    def parse(value: str) -> str:
        value = (aliases or {}).get(value, value)
        if value not in choices:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}.")
        return value

    return typer.Option(*flags, parser=parse, metavar=f"[{'|'.join(choices)}]", help=help)


LayoutName = Annotated[str, one_of(LAYOUTS, "How paths encode subject, eye and sample.")]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Run on this dask.distributed cluster."),
]
SegmenterName = Annotated[
    str, typer.Option(help=f"Finds pupil and iris: {', '.join(sorted(SEGMENTERS))}.")
]


_PACKAGE = Path(__file__).parents[1]

USER_ERROR = 2
"""Exit status after an error that the user can correct, reported in one sentence."""

BROKEN_PIPE = 141
"""Exit status if standard output was closed by its reader, as for a program ended by SIGPIPE."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

TERMINATED = 143
"""Exit status after SIGTERM, which ends a command as Ctrl-C does: unfinished files are removed."""

RESUMES = "Run the same command again: it goes on where it stopped."
"""How to go on with an interrupted command that detects finished work itself."""

_MOST_LISTED = 5  # names

# Click and Python use status 1 for other reasons, so a decision is signalled by another one.
_NOT_ACCEPTED = 101


def decision(accepted: bool) -> typer.Exit:
    """Exception that ends a command with a decision: exit status 0 if accepted, else 1.

    No other outcome has exit status 1.
    """
    return typer.Exit(0 if accepted else _NOT_ACCEPTED)


def report_errors(command: Callable[[], None]) -> None:
    """Run a command and exit with its status.

    The status is 1 only for a negative `decision`, not for a broken pipe, an aborted prompt or an
    unexpected exception. SIGTERM ends the command as Ctrl-C does.
    """
    settle()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a test or a notebook replaced it
            # On a terminal of another encoding, print escapes instead of failing.
            stream.reconfigure(errors="backslashreplace")
    with _plain_warnings(), _sigterm_as_interrupt() as terminated, temporary_files_together():
        try:
            _run(command)
        except KeyboardInterrupt:
            sys.exit(TERMINATED if terminated.is_set() else INTERRUPTED)
        except SystemExit as ended:
            sys.exit(TERMINATED if terminated.is_set() else _status(ended))
        except Exception:
            traceback.print_exc()
            typer.echo("This is a defect of iris_tf; report it with the lines above.", err=True)
            sys.exit(INTERNAL_ERROR)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print the warnings of this package as sentences, without the line of code that gave them."""
    before = warnings.formatwarning

    def formatted(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if Path(filename).is_relative_to(_PACKAGE):
            return f"Warning: {message}\n"
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[threading.Event]:
    """Let SIGTERM raise `KeyboardInterrupt`, as Ctrl-C does; the event distinguishes the two."""
    terminated = threading.Event()

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second SIGTERM must not interrupt the clean-up
        terminated.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # the only one to receive signals
        yield terminated
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def if_interrupted(how_to_go_on: Callable[[], str]) -> Iterator[None]:
    """Say on Ctrl-C or SIGTERM how to go on.

    Parameters
    ----------
    how_to_go_on : callable
        Gives the sentence; called on interruption only.
    """
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            echo("", err=True)  # the terminal has written ^C to the line
        echo(f"Interrupted. {how_to_go_on()}", err=True)
        raise


def _status(ended: SystemExit) -> str | int | None:
    if ended.code == _NOT_ACCEPTED:
        return 1
    if ended.code == 1:
        # Click has converted the original exception to status 1.
        return BROKEN_PIPE if isinstance(ended.__context__, BrokenPipeError) else USER_ERROR
    return ended.code


def _run(command: Callable[[], None]) -> None:
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


# Control, format and surrogate characters, line and paragraph separators.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def echo(text: str, err: bool = False) -> None:
    """Print text with control characters escaped, except line feeds and tabs.

    File names and model cards may come from others, and could contain terminal escape sequences.
    """
    typer.echo("".join(map(_shown, text)), err=err)


def listed(names: Sequence[str], total: int | None = None) -> str:
    """The first names of a list, and how many more there are.

    Parameters
    ----------
    names : sequence of str
        At least one.
    total : int, optional
        Number of all names if `names` are examples.
    """
    total = len(names) if total is None else total
    shown = names[:_MOST_LISTED]
    more = f" and {total - len(shown)} more" if total > len(shown) else ""
    return ", ".join(shown) + more


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSAFE:
        return character
    return ascii(character)[1:-1]


def _fail(sentence: str) -> None:
    echo(f"Error: {sentence}", err=True)
    sys.exit(USER_ERROR)


def load_tensorflow() -> None:
    """Import TensorFlow without log output.

    Its devices are initialised, too, unless this is one of several workers, whose connection
    initialises them.
    """
    from iris_tf.support.progress import status
    from iris_tf.support.quiet import quiet

    # TensorFlow's default on processors that it recognises. It may not recognise a virtual one,
    # and then trains less than half as fast.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Override Keras settings for other programs, in the environment or in keras.json.
    settle()
    own_devices = "TF_CONFIG" not in os.environ
    if not own_devices:
        # Each message about a lost worker would be repeated by every thread that waits for it.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with status("Loading TensorFlow"), quiet(2):
        import keras
        import tensorflow as tf

        if own_devices:
            tf.constant(0)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    # TensorFlow's Python warnings (e.g. about retracing) do not concern users of this command.
    tf.get_logger().setLevel("ERROR")
