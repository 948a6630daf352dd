"""Who is enrolled in a row of a gallery, as the columns of its journal: plain or encrypted."""

import json
from dataclasses import astuple, dataclass
from typing import Any, Protocol

from iris_tf.matching.gallery_vault import GalleryVault
from iris_tf.matching.row_file import DamagedRowsError

Columns = tuple[Any, Any, Any]
"""``identity``, ``image`` and ``content`` of a row of the journal's table of images."""


@dataclass(frozen=True)
class EnrolledImage:
    """An image in a gallery.

    Attributes
    ----------
    identity : str
    image : str
        Its name, or ``""`` if unknown.
    content : str
        What tells whether its file has changed, such as its SHA-256, or ``""``.
    """

    identity: str
    image: str = ""
    content: str = ""


class Names(Protocol):
    """How a journal stores names."""

    def identity(self, identity: str) -> Any:
        """The column ``identity`` of all rows of an identity."""

    def image(self, identity: str, image: str) -> Any:
        """The column ``image`` of an image of an identity."""

    def columns(self, slot: int, image: EnrolledImage) -> Columns:
        """The columns of what is enrolled in a row."""

    def read(self, slot: int, columns: Columns) -> EnrolledImage:
        """What is enrolled in a row; raises `DamagedRowsError`."""


class PlainNames:
    """Names that are not encrypted."""

    def identity(self, identity: str) -> str:
        """See `Names`."""
        return identity

    def image(self, identity: str, image: str) -> str:
        """See `Names`."""
        return image

    def columns(self, slot: int, image: EnrolledImage) -> Columns:
        """See `Names`."""
        return image.identity, image.image, image.content

    def read(self, slot: int, columns: Columns) -> EnrolledImage:
        """See `Names`."""
        if not all(isinstance(column, str) for column in columns):
            raise DamagedRowsError("a name is not a text")
        return EnrolledImage(*columns)


class SealedNames:
    """Names that are encrypted in the column ``content``, bound to their row.

    The other columns hold keyed digests, by which rows of an identity or image are found: without
    the key they tell which rows share an identity, but not which.

    Parameters
    ----------
    vault : GalleryVault
    generation : int
        Of the rows.
    """

    def __init__(self, vault: GalleryVault, generation: int):
        self._vault, self._cipher = vault, vault.cipher(f"names-{generation:06d}")

    def identity(self, identity: str) -> bytes:
        """See `Names`."""
        return self._vault.digest("identity", identity)

    def image(self, identity: str, image: str) -> bytes:
        """See `Names`."""
        return self._vault.digest("image", identity, image)

    def columns(self, slot: int, image: EnrolledImage) -> Columns:
        """See `Names`."""
        sealed = self._cipher.seal(json.dumps(astuple(image)).encode(), slot)
        return self.identity(image.identity), self.image(image.identity, image.image), sealed

    def read(self, slot: int, columns: Columns) -> EnrolledImage:
        """See `Names`."""
        sealed = columns[2]
        if not isinstance(sealed, bytes):
            raise DamagedRowsError("a name is not encrypted")
        image = EnrolledImage(*json.loads(self._cipher.open(sealed, slot)))
        if columns[:2] != (self.identity(image.identity), self.image(image.identity, image.image)):
            raise DamagedRowsError("a name is not that of its row")
        return image


def names_of(vault: GalleryVault | None, generation: int) -> Names:
    """How the journal of a gallery stores names."""
    return PlainNames() if vault is None else SealedNames(vault, generation)
