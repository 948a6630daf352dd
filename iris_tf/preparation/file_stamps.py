"""Whether an image file is still the one that was processed."""

import os
from pathlib import Path

from iris_tf.preparation.journal import Outcome
from iris_tf.support.files import sha256

_BY_CONTENT = 2  # fields of a stamp that a file keeps when it is copied: size and modification time


def file_stamp(path: Path) -> str:
    """Size, modification time, change time and inode of a file, or why they are not known.

    Two files of one size can be given each other's name and the same modification time, as
    uncompressed images of one camera are when mixed-up labels are corrected. Their inodes or
    change times differ then.
    """
    try:
        status = path.stat()
    except OSError:
        return "missing"  # a dangling link, which reading counts as unreadable
    if not os.access(path, os.R_OK):
        return "no permission"  # granting it changes neither size nor time
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def is_unchanged(outcome: Outcome, path: Path, stamp: str) -> bool:
    """Whether the outcome of an image holds for the file that is there now.

    Where size and modification time agree and the rest does not, as after a copy of all
    images, the content decides.

    Parameters
    ----------
    outcome : Outcome
        Of an earlier run. Those of version 0.1 have stamps of size and modification time alone.
    path : Path
        The image file.
    stamp : str
        Its `file_stamp`.
    """
    if outcome.stamp == stamp:
        return True
    before, now = outcome.stamp.split(), stamp.split()
    if before[:_BY_CONTENT] != now[:_BY_CONTENT] or not now[0].isdigit():
        return False
    if not outcome.sha256:  # a failure, the content of which is not known
        return len(before) == _BY_CONTENT
    return sha256(path) == outcome.sha256
