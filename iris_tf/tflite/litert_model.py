"""TFLite files of the project, run by LiteRT without TensorFlow."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, SignatureRunner

from iris_tf.imaging.images import MAX_INPUT_SIDE
from iris_tf.support.errors import ModelError
from iris_tf.support.quiet import quiet
from iris_tf.tflite.flatbuffer import NotTFLiteError, read_model
from iris_tf.tflite.probe import problem
from iris_tf.tflite.signatures import Signature


class LiteRTModel:
    """One signature of a TFLite model, from one image to one array.

    The input is float32 ``(1, H, W, channels)`` in 0..255, the output float32 with a first axis of
    1. Images go through one at a time, as on a phone. One object may be called from several
    threads at once: each call has an interpreter to itself, of which there are at most as many as
    the machine has cores.

    Parameters
    ----------
    path : str or Path
        The ``.tflite`` file.
    signature : Signature
        Which one.
    threads : int, optional
        Threads that LiteRT may use, at least 1.

    Attributes
    ----------
    path, signature : Path, Signature
        As given.
    input_size : tuple of (int, int)
        Height and width of the input in pixels.
    channels : int
        Of the input: 1 for grey, 3 for red, green and blue.
    output_shape : tuple of int
        Without the first axis.

    Raises
    ------
    ModelError
        When the file is missing, is not TFLite or damaged, or has another signature, input
        or output. A file that no model card knows is tried in a child process first.
    """

    def __init__(self, path: str | Path, signature: Signature, threads: int = 1):
        self.path, self.signature = Path(path), signature
        taken, given, maker = signature.input, signature.output, signature.maker
        if not isinstance(threads, int) or threads < 1:
            raise ModelError(f"threads is {threads!r}; LiteRT needs an integer of at least 1.")
        _check(self.path, maker)
        with self._loading(maker):
            interpreters = _InterpreterPool(self.path, threads, signature.name)
            signatures = interpreters.signatures()
        found = signatures.get(signature.name)
        if found is None or set(found["inputs"]) != {taken} or set(found["outputs"]) != {given}:
            raise ModelError(
                f"{self.path}: its signatures are {_describe(signatures)}, but an iris_tf model "
                f"has {signature}; use a file from `{maker}`."
            )
        self._interpreters = interpreters
        # The names of a damaged file's tensors may be no text.
        with self._loading(maker), interpreters.runner() as runner:
            input_details = runner.get_input_details()[taken]
            output_details = runner.get_output_details()[given]
        shape = tuple(int(n) for n in input_details["shape"])
        if (
            len(shape) != 4
            or shape[0] != 1
            or shape[3] not in signature.channels
            or not 1 <= min(shape) <= max(shape) <= MAX_INPUT_SIDE
            or input_details["dtype"] != np.float32
        ):
            channels = " or ".join(map(str, signature.channels))
            raise ModelError(
                f"{self.path}: its input is {np.dtype(input_details['dtype']).name} {shape}, but "
                f"one image, float32 (1, height, width, {channels}), is needed; use a file from "
                f"`{maker}`."
            )
        output = tuple(int(n) for n in output_details["shape"])
        if len(output) != signature.rank or output[0] != 1 or output_details["dtype"] != np.float32:
            raise ModelError(
                f"{self.path}: its output is {np.dtype(output_details['dtype']).name} {output}, "
                f"but one {given}, float32 with {signature.rank} axes, the first of 1, is needed; "
                f"use a file from `{maker}`."
            )
        self.input_size, self.channels = (shape[1], shape[2]), shape[3]
        self.output_shape = output[1:]
        with self._loading(maker):
            # `allocate_tensors` would prepare the file's first graph, whichever is wanted.
            self(np.zeros(shape[1:], np.float32))

    @contextmanager
    def _loading(self, maker: str) -> Iterator[None]:
        try:
            with quiet(2):
                yield
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise _not_loaded(self.path, reason, maker) from None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Run the model on one image.

        Parameters
        ----------
        image : ndarray of shape `input_size`, or (*input_size, channels), uint8 or float32

        Returns
        -------
        ndarray of shape `output_shape`, float32
        """
        batch = image.astype(np.float32).reshape((1, *self.input_size, self.channels))
        with self._interpreters.runner() as runner:
            return runner(**{self.signature.input: batch})[self.signature.output][0]


class _InterpreterPool:
    """Interpreters of one file; each is lent to one caller at a time.

    LiteRT's interpreters are not thread-safe: two calls at once would read each other's
    tensors, and return wrong results without an error.
    """

    def __init__(self, path: Path, threads: int, signature: str):
        self._path, self._threads, self._signature = path, threads, signature
        self._idle = [self._new()]
        self._lock = threading.Lock()
        # Busy interpreters; waiting for one is cheaper than more interpreters than cores.
        self._lent = threading.BoundedSemaphore(os.cpu_count() or 1)

    def signatures(self) -> dict[str, dict[str, list[str]]]:
        """Inputs and outputs of each signature of the file."""
        return self._idle[0].get_signature_list()

    @contextmanager
    def runner(self) -> Iterator[SignatureRunner]:
        """Lend a runner of the signature, made if all others are in use."""
        with self._lent:
            with self._lock:
                interpreter = self._idle.pop() if self._idle else None
            if interpreter is None:
                interpreter = self._new()
            try:
                # The runner does not keep its interpreter alive.
                yield interpreter.get_signature_runner(self._signature)
            finally:
                with self._lock:
                    self._idle.append(interpreter)

    def _new(self) -> Interpreter:
        with quiet(2):
            return Interpreter(model_path=str(self._path), num_threads=self._threads)


def _check(path: Path, maker: str) -> None:
    if not path.is_file():
        raise ModelError(
            f"{path}: there is no such model file; give a .tflite file, for instance one from "
            f"`{maker}`."
        )
    try:
        read_model(path)
    except NotTFLiteError as reason:
        raise ModelError(
            f"{path}: this is not a TFLite file ({reason}); give a .tflite file, for instance one "
            f"from `{maker}`."
        ) from None
    except ValueError as reason:
        raise _not_loaded(path, str(reason), maker) from None
    if found := problem(path):
        raise _not_loaded(path, found, maker)


def _not_loaded(path: Path, reason: str, maker: str) -> ModelError:
    return ModelError(
        f"{path}: LiteRT cannot load it ({reason}); the file is damaged or needs operations that "
        f"are not built in, export it again with `{maker}`."
    )


def _describe(signatures: dict) -> str:
    return (
        "; ".join(
            f"{name}({', '.join(parts['inputs'])}) -> {', '.join(parts['outputs'])}"
            for name, parts in signatures.items()
        )
        or "none"
    )
