"""Temporary files and folders whose names tell their owner, and removal of what killed owners left.

A temporary name holds the machine and the process that it belongs to. A process that is killed
(``kill -9``, out of memory) cannot remove its files; the next one that writes beside them does,
and touches none of a living process or of another machine, whose processes it cannot see.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

MARK = "iris_tf"
OLD = "-old"
"""End of the temporary name of a folder that is being replaced."""

_OWNER = rf"{MARK}-(?P<machine>[0-9a-f]{{12}})-(?P<pid>[0-9]+)-[0-9a-f]{{8}}"
_BESIDE = re.compile(rf"\.(?P<name>.+)\.{_OWNER}(?P<old>{re.escape(OLD)})?(?:\..*)?")
_IN_SYSTEM_FOLDER = re.compile(_OWNER)
# What tells machines, their boots and containers apart. Where one has the same process numbers
# as another, a living owner would be taken for a dead one.
_MACHINE_FILES = ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")
_PROCESS_NUMBERS = "/proc/self/ns/pid"

_swept: set[Path] = set()


def owner_mark() -> str:
    """A new mark of this process, different in each call."""
    return f"{MARK}-{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose owners are gone.

    A folder that was about to be replaced when its owner was killed gets its name back.
    """
    found = [(match, folder / match.string) for match in _owned(folder, _BESIDE)]
    # Folders that are being replaced first: their names decide what else is needed.
    for match, path in sorted(found, key=lambda entry: not entry[0]["old"]):
        target = folder / match["name"]
        if match["old"] and not target.exists():
            with contextlib.suppress(OSError):  # another process was faster
                path.rename(target)
        else:
            _remove(path)


def sweep_once(folder: Path) -> None:
    """`sweep` a folder the first time that this process asks for it: listing it takes time."""
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder in the system's folder for temporary files, and remove it afterwards.

    Those of killed processes are removed first.
    """
    root = Path(tempfile.gettempdir())
    for match in _owned(root, _IN_SYSTEM_FOLDER):
        _remove(root / match.string)
    folder = root / owner_mark()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def temporary_files_together() -> Iterator[None]:
    """Let temporary files of all libraries, and of child processes, go to one `temporary_folder`.

    TensorFlow, Keras and others leave theirs behind when they are killed. Where no folder can be
    made, nothing changes.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = str(stack.enter_context(temporary_folder()))
        except OSError:
            yield
            return
        before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            if variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = variable


def _owned(folder: Path, pattern: re.Pattern) -> list[re.Match]:
    """Matches of the names in a folder that are this user's, and whose owners are gone."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [
            match
            for entry in entries
            if (match := pattern.fullmatch(entry.name))
            and _is_gone(match["machine"], int(match["pid"]))
            and _is_mine(entry)
        ]
    return []


def _is_gone(machine: str, pid: int) -> bool:
    if os.name != "posix" or machine != _machine() or pid == 0:
        return False  # not known; on Windows, asking would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # another user's process
    return _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Whether a process only waits for its parent to notice that it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    # The state follows the program's name, which may hold anything, in parentheses.
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def _is_mine(entry: os.DirEntry) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@functools.cache
def _machine() -> str:
    parts = [socket.gethostname()]
    for file in _MACHINE_FILES:
        with contextlib.suppress(OSError):
            parts.append(Path(file).read_text())
    with contextlib.suppress(OSError):
        parts.append(os.readlink(_PROCESS_NUMBERS))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
