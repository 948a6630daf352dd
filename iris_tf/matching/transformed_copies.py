"""Copies of stored templates under another keyed transform."""

from collections.abc import Callable, Iterator
from pathlib import Path

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.gallery_folder import GalleryFolder, is_gallery_folder
from iris_tf.matching.gallery_journal import EnrolledImage
from iris_tf.matching.secret_keys import KeyGiven
from iris_tf.support.errors import OutputError
from iris_tf.support.files import replace_folder


def transformed_copy(
    source: Path, target: Path, change: Callable[[Gallery], Gallery], key: KeyGiven = None
) -> Gallery | GalleryFolder:
    """Write a gallery whose templates are changed, whole or not at all.

    Parameters
    ----------
    source : Path
        Gallery file, or gallery folder.
    target : Path
        File or folder to write, which must not exist.
    change : callable
        From a gallery, or a part of one, to the one to write: `KeyedTransform.gallery`, or
        `KeyedTransform.replacing` of some former transform.
    key : SecretKey, str or Path, optional
        That the gallery is encrypted with, and its copy will be.

    Returns
    -------
    Gallery or GalleryFolder
        What was written.

    Raises
    ------
    OutputError
        When the target exists.
    ModelError
        When the source cannot be used, or `change` refuses it.
    """
    if target.exists():
        raise OutputError(f"{target}: exists, so it is not overwritten; choose another name.")
    if is_gallery_folder(source):
        return _copied_folder(GalleryFolder(source, key), target, change, key)
    copy = change(Gallery.load(source, key))
    copy.save(target, key)
    return copy


def _copied_folder(
    source: GalleryFolder, target: Path, change: Callable[[Gallery], Gallery], key: KeyGiven
) -> GalleryFolder:
    with replace_folder(target) as unfinished:
        unfinished.chmod(0o700)
        copy = None
        for part in source.parts():
            changed = change(part)
            if copy is None:
                kind = source.kind.with_origin(changed.origin)
                copy = GalleryFolder.make(unfinished, kind, key)
            with copy.writing() as writer:
                images = list(_images(source, part))
                writer.add(images, changed.embeddings, figures=changed.figures)
    return GalleryFolder(target, key)


def _images(source: GalleryFolder, part: Gallery) -> Iterator[EnrolledImage]:
    """Entries of the journal for a part of a gallery."""
    contents = {
        (image.identity, image.image): image.content
        for identity in set(part.identities)
        for image in source.images_of(identity)
    }
    for name in zip(part.identities, part.images, strict=True):
        yield EnrolledImage(*name, contents[name])
