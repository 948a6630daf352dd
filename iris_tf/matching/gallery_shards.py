"""A gallery that is divided among several folders, on this machine or on several.

Each shard is searched by itself, and what is found is merged: the candidates of a search are those
of one gallery that holds all images, in the order of the shards, and so are their scores. An
answer comes from all shards or not at all.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from iris_tf.matching.gallery_folder import (
    CANDIDATES,
    EmptyGalleryError,
    GalleryFolder,
    is_gallery_folder,
)
from iris_tf.matching.gallery_search import Comparisons, Search
from iris_tf.matching.phase_signs import phase_signs, sign_distances
from iris_tf.matching.secret_keys import KeyGiven, SecretKey, key_or_none
from iris_tf.matching.template import Origin
from iris_tf.matching.template_records import TemplateKind
from iris_tf.support.errors import ArgumentError, ModelError
from iris_tf.support.files import path_given


class ShardedGallery:
    """Gallery folders that are searched as one gallery; made by `open_shards`.

    All images of an identity should be in one shard. Each shard is searched in its state at one
    moment, but not all of them in that of the same moment.

    Attributes
    ----------
    paths : tuple of str
        The shards.
    kind : TemplateKind
        What they hold.
    """

    def __init__(self, paths: Sequence[str], kind: TemplateKind, call: "_Call"):
        self.paths, self.kind, self._call = tuple(paths), kind, call

    @property
    def origin(self) -> Origin:
        """Model and calibration of its templates."""
        return self.kind.origin

    def __len__(self) -> int:
        """Number of images."""
        return sum(self._call(len))

    def count_identities(self) -> int:
        """Number of identities; one that is in several shards counts several times."""
        return sum(self._call(GalleryFolder.count_identities))

    def compared(self, search: Search) -> Comparisons:
        """Compare a probe with its candidates in all shards, or with every image if there are few.

        Raises
        ------
        ModelError
            When all shards are empty, or one is damaged, of another kind, or can no longer be
            reached.
        DatasetError
            When the cluster cannot complete the search.
        """
        found = [shard for shard in self._call(_searched, search, self.origin) if shard]
        if not found:
            raise EmptyGalleryError(f"{self.paths[0]}: all shards are empty; enrol an eye first.")
        searched = sum(shard.comparisons.searched for shard in found)
        joined = Comparisons.joined([shard.comparisons for shard in found], searched)
        if searched <= CANDIDATES:
            return joined
        ranks = np.concatenate([shard.ranks for shard in found])
        return joined[np.argsort(ranks, kind="stable")[:CANDIDATES]]


@contextlib.contextmanager
def open_shards(
    paths: Sequence[str | Path], scheduler: str | None = None, key: KeyGiven = None
) -> Iterator[ShardedGallery]:
    """Open the shards of a gallery for the duration of a ``with`` block.

    Parameters
    ----------
    paths : sequence of str or Path
        Gallery folders of one model and calibration.
    scheduler : str, optional
        Address ``tcp://host:port`` of a ``dask.distributed`` scheduler. Then each shard is searched
        by workers on the machines that have its folder, which need not be this one. Without it,
        one shard after the other is searched by this process.
    key : SecretKey, str or Path, optional
        That the shards are encrypted with. With a scheduler, the path of its file or
        ``keyring:NAME``, where each worker reads it; without one there, workers use the key in
        their environment, if any.

    Yields
    ------
    ShardedGallery

    Raises
    ------
    ArgumentError
        When no path is given, or a key that would have to be sent to other machines.
    ProtectionError
        When a shard is encrypted and this is not its key, or is plain despite a key.
    ModelError
        When a shard cannot be used, its templates are of another kind than those of the first,
        two are copies of each other, or two machines have different galleries under one path.
    DatasetError
        When the cluster cannot be reached, or has no workers.

    Examples
    --------
    >>> with open_shards(["a.gallery", "b.gallery"]) as gallery:  # doctest: +SKIP
    ...     recognizer.identify("probe.png", gallery).identity
    'ann'
    """
    names = [os.path.abspath(path_given(path, "The gallery")) for path in paths]
    if not names:
        raise ArgumentError("A gallery needs a folder; give one or more.")
    if scheduler is None:
        opened = _Opened(key_or_none(key))
        found = {name: _Shard.of(opened(name)) for name in names}
        kind = _common_kind(names, found)
        yield ShardedGallery(
            names, kind, lambda what, *more: [what(opened(name), *more) for name in names]
        )
        return
    if isinstance(key, SecretKey):
        raise ArgumentError(
            "Secret keys are not sent to other machines; give the path of a key file that all "
            "workers can read, or keyring:NAME."
        )
    # A local import, because dask is an optional dependency.
    from iris_tf.support.cluster import open_cluster

    key = None if key is None else str(key)
    with open_cluster(scheduler, "The search") as cluster:
        seen = cluster.everywhere(_look, names, key)
        located = {name: _located(name, seen, scheduler) for name in names}
        kind = _common_kind(names, {name: shard for name, (_, shard) in located.items()})

        def call(what: Callable, *more: Any) -> list[Any]:
            return cluster.on_hosts(
                [(located[name][0], (_at_worker, what, name, key, *more)) for name in names]
            )

        yield ShardedGallery(names, kind, call)


def shards_in(folder: Path) -> list[Path]:
    """The gallery folders in a folder of shards; none if it holds something else.

    Raises
    ------
    ModelError
        When some of its subfolders are galleries and others are not: a shard may be damaged.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    # Hidden folders: a killed process may have left unfinished ones.
    folders = [path for path in inside if path.is_dir() and not path.name.startswith(".")]
    shards = [path for path in folders if is_gallery_folder(path)]
    for path in folders if shards else ():
        if path not in shards:
            raise ModelError(
                f"{path}: is no gallery, but lies among the shards of one; move it, or restore it "
                "from a copy."
            )
    return shards


_Call = Callable[..., list[Any]]
"""Calls a function with the gallery of each shard, and further arguments, where the shard is."""


@dataclass(frozen=True)
class _Shard:
    """What a shard is, as seen on one machine.

    Attributes
    ----------
    kind : TemplateKind
    content : str
        What tells it from other galleries: `GalleryFolder.first_digest`, or the path of an empty
        one.
    """

    kind: TemplateKind
    content: str

    @classmethod
    def of(cls, gallery: GalleryFolder) -> "_Shard":
        return cls(gallery.kind, gallery.first_digest() or os.path.realpath(gallery.path))


class _Opened:
    """Galleries by path; encrypted ones stay open, because opening them again takes long."""

    def __init__(self, key: SecretKey | None):
        self._key, self._lock = key, threading.Lock()
        self._galleries: dict[str, GalleryFolder] = {}

    def __call__(self, path: str) -> GalleryFolder:
        if self._key is None:
            return GalleryFolder(path)
        with self._lock:
            opened = self._galleries.get(path)
            if opened is None or not opened.is_same():
                opened = self._galleries[path] = GalleryFolder(path, self._key)
            return opened


@functools.lru_cache(maxsize=8)
def _opened_with(key: str | None) -> _Opened:
    """Galleries that this worker has opened with a key, which it reads itself."""
    return _Opened(key_or_none(key) or SecretKey.from_environment())


def _at_worker(what: Callable, path: str, key: str | None, *more: Any) -> Any:
    return what(_opened_with(key)(path), *more)


def _look(paths: Sequence[str], key: str | None) -> dict[str, _Shard]:
    opened = _opened_with(key)
    return {path: _Shard.of(opened(path)) for path in paths if is_gallery_folder(path)}


def _located(
    path: str, seen: Sequence[tuple[str, dict[str, _Shard]]], scheduler: str
) -> tuple[list[str], _Shard]:
    """Hosts all of whose workers have a shard, and what it is."""
    hosts = {host for host, _ in seen} - {host for host, there in seen if path not in there}
    shards = {there[path] for host, there in seen if host in hosts}
    if not hosts:
        raise ModelError(
            f"{path}: no worker of {scheduler} has this gallery; start workers on the machine that "
            "holds it, all of which can read it."
        )
    if len(shards) > 1:
        raise ModelError(
            f"{path}: the machines {', '.join(sorted(hosts))} have different galleries under this "
            "path; give each shard a path of its own."
        )
    return sorted(hosts), shards.pop()


def _common_kind(paths: Sequence[str], shards: dict[str, _Shard]) -> TemplateKind:
    kind = shards[paths[0]].kind
    seen: dict[str, str] = {}
    for path in paths:
        shard = shards[path]
        kind.origin.require(shard.kind.origin, f"{path}: the gallery")
        if shard.kind != kind:
            raise ModelError(
                f"{path}: its templates are of another kind than those of {paths[0]}; enrol again "
                "with one model."
            )
        other = seen.setdefault(shard.content, path)
        if other != path or paths.count(path) > 1:
            raise ModelError(
                f"{path}: is {other} or a copy of it; give each shard once, or its images count "
                "twice."
            )
    return kind


class _Found(NamedTuple):
    """What was found in a shard; its candidates of lower rank go before those of other shards."""

    comparisons: Comparisons
    ranks: np.ndarray


def _searched(gallery: GalleryFolder, search: Search, origin: Origin) -> _Found | None:
    """What is found in a shard; None if it is empty."""
    origin.require(gallery.origin, f"{gallery.path}: the gallery")
    try:
        found = gallery.candidates_of(search)
    except EmptyGalleryError:
        return None
    comparisons = Comparisons.of(found.gallery, search, found.images)
    layout = search.matcher.layout
    if search.exact or layout is None:
        return _Found(comparisons, -comparisons.decisive(search))
    signs = phase_signs(found.gallery.embeddings[:, -layout.size :])
    code = search.embedding[-layout.size :]
    return _Found(comparisons, sign_distances(code, signs, layout, search.wide))
