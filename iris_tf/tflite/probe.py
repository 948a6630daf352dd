"""Trying an unknown ``.tflite`` file in a child process before it is loaded in this one.

A damaged file may pass every check of its structure and still end the process that runs it, and
with it a server or a preparation of hours. A file whose SHA-256 a model card states is what its
maker has exported, and is loaded at once.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

from iris_tf.config.names import CARD_NAME
from iris_tf.support.files import real_path, sha256
from iris_tf.support.foreign_files import read_object
from iris_tf.tflite.released_models import FOLDERS

_SECONDS = 120  # of a network that takes one on a phone, on a busy machine
_MEMORY = 2**32  # address space for tensors, which a damaged file may declare of any size
_REFUSED = 3
_LONGEST_REASON = 300  # LiteRT names every tensor that it cannot use
_CHILD = f"from iris_tf.tflite.probe import run_all; run_all(__import__('sys').argv[1], {_MEMORY})"

_lock = threading.Lock()
_found: dict[str, str] = {}  # what is wrong with a file, by its SHA-256; once a process


def problem(path: Path) -> str:
    """What is wrong with a model file that no model card knows, as a clause; empty if nothing.

    All signatures of the file are run once, on zeros, in a child process.

    Parameters
    ----------
    path : Path
        The ``.tflite`` file.
    """
    digest = sha256(path)
    with _lock:
        if digest not in _found:
            _found[digest] = "" if _is_known(path, digest) else _try(path)
        return _found[digest]


def _is_known(path: Path, digest: str) -> bool:
    """Whether the card beside the file or one of the released models states its SHA-256."""
    cards = [path.with_name(CARD_NAME)]
    cards += [card for folder in FOLDERS for card in folder.glob(f"*/{CARD_NAME}")]
    for card in cards:
        try:
            described = read_object(card)["files"].values()
            if any(file["sha256"] == digest for file in described):
                return True
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return False


def _try(path: Path) -> str:
    if not sys.executable:  # an interpreter within another program
        return ""
    # The child imports what this process does, but nothing from the current folder.
    places = os.pathsep.join(place for place in sys.path if place)
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD, str(real_path(path))],
            env=os.environ | {"PYTHONPATH": places},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it does not end within {_SECONDS} seconds"
    except OSError:  # no more processes, as in some sandboxes
        return ""
    if child.returncode == _REFUSED:
        said = " ".join(child.stdout.decode(errors="replace").split())
        return said[:_LONGEST_REASON].rstrip(".")
    return "it crashes the runtime" if child.returncode else ""


def run_all(path: str, memory: int) -> None:
    """In the child: run all signatures of a file; exit with `_REFUSED` and a reason on failure."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    _limit(memory)
    try:
        interpreter = Interpreter(model_path=path, num_threads=1)
        for name in interpreter.get_signature_list():
            runner = interpreter.get_signature_runner(name)
            details = runner.get_input_details()
            runner(**{key: np.zeros(d["shape"], d["dtype"]) for key, d in details.items()})
    except Exception as error:
        print(error)
        sys.stdout.flush()
        os._exit(_REFUSED)
    os._exit(0)  # what a damaged file has left in memory need not be cleared away


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    most = used * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
