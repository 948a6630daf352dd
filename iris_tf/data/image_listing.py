"""What an image folder holds: images, files of kinds that are not read, folders without either."""

import collections
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from iris_tf.imaging.images import SUFFIXES
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import real_path

_MASK = "_mask.png"
# Kinds of files that accompany images. Files of any other kind may be images of somebody.
_ACCOMPANYING = {
    *(".txt", ".md", ".rst", ".rtf", ".pdf", ".doc", ".docx", ".htm", ".html", ".log"),
    *(".csv", ".tsv", ".xls", ".xlsx", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".ini", ".cfg"),
    *(".py", ".m", ".sh", ".db", ".lnk", ".url", ".md5", ".sha256"),
}


@dataclass(frozen=True)
class FolderListing:
    """The files of a folder and its subfolders, as sorted paths relative to it with ``/``.

    Attributes
    ----------
    images : list of str
        Files of the kinds that are read (`SUFFIXES`).
    unread : list of str
        Files of kinds that are not read and that may be images, such as ``.gif`` or ``.heic``.
    without_images : list of str
        Innermost subfolders that hold neither.
    """

    images: list[str]
    unread: list[str]
    without_images: list[str]


def list_folder(folder: Path) -> FolderListing:
    """List the images of a folder.

    Hidden files, the ``*_mask.png`` files of synthetic eyes, and texts and tables are left out.

    Raises
    ------
    DatasetError
        If the folder is missing, cannot be listed, or holds no image.
    """
    if not folder.exists():
        raise DatasetError(f"{folder}: there is no such folder; give the folder of eye images.")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: this is a file; give the folder of eye images.")
    images: list[str] = []
    unread: list[str] = []
    without_images: list[str] = []
    for path, folders, files in _walk(folder):
        stems = {PurePosixPath(name).stem for name in files}
        here = [_joined(path, name) for name in files if _is_image(name, stems)]
        others = [_joined(path, name) for name in files if _may_be_image(name)]
        images += here
        unread += others
        if not (folders or here or others):
            without_images.append(path)
    if not images:
        kinds = ", ".join(f"{count} {kind}" for kind, count in count_kinds(unread).items())
        but = f" but files of kinds that are not read ({kinds})" if kinds else ""
        raise DatasetError(
            f"{folder}: there is no image in this folder{but}; "
            f"files ending in {', '.join(SUFFIXES)} are looked for in it and its subfolders."
        )
    return FolderListing(sorted(images), sorted(unread), sorted(without_images))


def count_kinds(unread: Iterable[str]) -> dict[str, int]:
    """Number of files by suffix, the most frequent first."""
    kinds = collections.Counter(suffix_of(name) or "without a suffix" for name in sorted(unread))
    return dict(kinds.most_common())


def suffix_of(name: str) -> str:
    """Suffix of a file's name with its dot, in small letters."""
    return PurePosixPath(name).suffix.lower()


def _is_image(name: str, stems: set[str]) -> bool:
    """Whether a file is an image and not the mask of one; `stems` are of all files beside it."""
    if suffix_of(name) not in SUFFIXES:
        return False
    return not (name.endswith(_MASK) and name.removesuffix(_MASK) in stems)


def _may_be_image(name: str) -> bool:
    return suffix_of(name) not in {*SUFFIXES, *_ACCOMPANYING}


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder's path relative to `root`, its subfolders and its files, without hidden ones."""
    # Subsets are often made of links to subjects' folders, so links are followed: each folder
    # once, and only out of the tree, because folders that link to each other have no end.
    resolved, linked = real_path(root), set[Path]()

    def is_new(path: str) -> bool:
        if not os.path.islink(path):
            return True
        target = real_path(path)
        if target in linked or target.is_relative_to(resolved) or resolved.is_relative_to(target):
            return False
        linked.add(target)
        return True

    for current, folders, files in os.walk(root, followlinks=True, onerror=_raise_unlistable):
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and is_new(os.path.join(current, name))
        ]
        path = Path(os.path.relpath(current, root)).as_posix()
        yield (
            "" if path == "." else path,
            folders,
            [name for name in files if not name.startswith(".")],
        )


def _raise_unlistable(error: OSError) -> None:
    raise DatasetError(
        f"{error.filename}: the folder cannot be listed ({error.strerror}); check its permissions."
    )
