"""The gallery of `iris-tf identify`: a file, gallery folders, or images to enrol."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from iris_tf.cli.keys import key_given
from iris_tf.support.errors import ModelError

if TYPE_CHECKING:
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.keyed_transform import KeyedTransform
    from iris_tf.recognition.embed_folder import EmbeddedFolder
    from iris_tf.recognition.recognizer import AnyGallery, IrisRecognizer


class GalleryGiven(NamedTuple):
    """What the options of a command say of a gallery.

    Attributes
    ----------
    paths : list of Path
        A gallery file, a gallery folder, a folder of images, or the shards of a gallery: gallery
        folders, or folders of some.
    layout : str
        Of a folder of images.
    key : str or None
        Option that names the key of an encrypted gallery.
    scheduler : str or None
        Of a cluster that searches gallery folders.
    """

    paths: list[Path]
    layout: str
    key: str | None
    scheduler: str | None


@contextlib.contextmanager
def searched_gallery(
    given: GalleryGiven, recognizer: "IrisRecognizer", transform: "KeyedTransform | None"
) -> "Iterator[tuple[AnyGallery, EmbeddedFolder | None]]":
    """Open a gallery, or enrol a folder of images, which is returned, too."""
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.gallery_folder import is_gallery_folder
    from iris_tf.matching.gallery_shards import open_shards
    from iris_tf.recognition.embed_folder import embed_folder

    origin = recognizer.origin if transform is None else transform.origin(recognizer.origin)
    shards = _shards(given)
    if shards:
        # Workers read the key themselves: it is not sent to other machines.
        key = key_given(given.key) if given.scheduler is None else given.key
        with open_shards(shards, given.scheduler, key) as gallery:
            origin.require(gallery.origin, f"{shards[0]}: the gallery")
            yield gallery, None
        return
    [path] = given.paths
    if path.is_file() or is_gallery_folder(path):
        opened = Gallery.open(path, key_given(given.key))
        origin.require(opened.origin, f"{path}: the gallery")
        yield opened, None
        return
    found = embed_folder(recognizer, path, given.layout, "Enrolling")
    plain = found.gallery(recognizer.origin)
    yield plain if transform is None else transform.gallery(plain), found


def in_memory(gallery: "AnyGallery") -> "Gallery":
    """A gallery whose images are all in memory.

    Raises
    ------
    ModelError
        When it consists of shards.
    """
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.gallery_folder import GalleryFolder

    if isinstance(gallery, Gallery):
        return gallery
    if isinstance(gallery, GalleryFolder):
        return gallery.load()
    raise ModelError(
        f"{gallery.paths[0]}: shards are not written to one file; give --save-gallery with a "
        "single gallery."
    )


def _shards(given: GalleryGiven) -> Sequence[Path]:
    """The shards of a gallery; none if it has no shards and no cluster searches it."""
    from iris_tf.matching.gallery_shards import shards_in

    found = [shard for path in given.paths for shard in shards_in(path) or [path]]
    if given.scheduler is None and found == given.paths[:1]:
        return []
    for path in found:
        if path.is_file():
            raise ModelError(f"{path}: is a file; give the folders of galleries as shards.")
    return found
