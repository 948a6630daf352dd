"""Strategies of `tf.distribute` by the recipe's `strategy`, and the loss of a worker."""

import contextlib
import functools
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.python.eager import context  # no public module can abort collective operations

from iris_tf.support.errors import TrainingError, first_line
from iris_tf.support.quiet import quiet
from iris_tf.training.workers import Worker

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def strategy_of(name: str) -> tf.distribute.Strategy:
    """Strategy by its name in recipes: single, mirrored or multi_worker."""
    if name == "multi_worker":
        return multi_worker_strategy()
    return mirrored_strategy() if name == "mirrored" else tf.distribute.get_strategy()


@functools.cache
def mirrored_strategy() -> tf.distribute.MirroredStrategy:
    """Strategy over all GPUs, or all CPUs without a GPU; a singleton per process.

    A second strategy over the same devices would reuse the keys of collective
    operations, which TensorFlow rejects if shapes differ.
    """
    # Logical devices, so that tests can split a CPU into several.
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def multi_worker_strategy() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Strategy over the devices of all workers of ``TF_CONFIG``; a singleton per process.

    All workers must be about to call this (`Worker.meet`): TensorFlow waits for them.

    Raises
    ------
    TrainingError
        If TensorFlow has used its devices before in this process, or cannot connect.
    """
    try:
        with quiet(2):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            # The workers are connected, and TensorFlow's threads have started.
            with strategy.scope():
                tf.Variable(0.0)
    except (RuntimeError, tf.errors.OpError) as error:
        raise TrainingError(
            f"The workers cannot be connected ({first_line(error)}); start the training in a new "
            "process on each worker."
        ) from None
    if threading.current_thread() is threading.main_thread():
        # TensorFlow has replaced the handler by one that ignores the signal.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Wait until all workers have come to this place."""
    one = strategy.run(lambda: tf.ones(()))
    strategy.reduce("SUM", one, axis=None).numpy()


@contextlib.contextmanager
def lost_workers_told(worker: Worker, run: Path) -> Iterator[None]:
    """Convert TensorFlow's errors for the loss of another worker, within a ``with`` block.

    TensorFlow notices within seconds that a worker has ended, for whatever reason.

    Raises
    ------
    TrainingError
        If another worker was lost; says how to go on.
    """
    try:
        yield
    except _LOST:
        if not worker.addresses:
            raise
        raise TrainingError(
            f"{run}: worker {worker.index} has lost another worker, whose own message says why; "
            f"start all workers again with `--resume {run}`, which goes on after the last "
            "checkpoint."
        ) from None
    except BaseException:
        if worker.addresses:
            # A step that waits for the others, as after Ctrl-C, would keep this process from
            # ending, and the others would wait for it in turn.
            context.context().abort_collective_ops(tf.errors.CANCELLED, "This worker ends.")
        raise
