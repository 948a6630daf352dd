"""State of a gallery folder, as its journal says it: who is enrolled, and in which row."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from iris_tf.matching.gallery_names import EnrolledImage, Names, names_of
from iris_tf.matching.gallery_vault import GalleryVault
from iris_tf.matching.row_file import DamagedRowsError
from iris_tf.matching.sealed_files import DataKey
from iris_tf.matching.secret_keys import SecretKey

ENCRYPTED_FORMAT = 2
"""Version of journals of encrypted galleries, which earlier programs cannot read."""

_VARIABLES = 500  # in one query; SQLite's limit was 999
_PROTECTION = "CREATE TABLE protection (data_key BLOB NOT NULL, state BLOB NOT NULL)"
_IMAGES = "SELECT slot, identity, image, content FROM images"


def only_row(connection: sqlite3.Connection, query: str) -> tuple[Any, ...]:
    """The row of a table that has one.

    Raises
    ------
    DamagedRowsError
        When it has none.
    """
    found: tuple[Any, ...] | None = connection.execute(query).fetchone()
    if found is None:
        raise DamagedRowsError("a table of its journal is empty")
    return found


class Snapshot:
    """State of a gallery at one moment, for as long as its transaction lasts.

    Attributes
    ----------
    generation : int
        Number in the names of the files of rows; a compaction raises it.
    slots : int
        Rows of these files that count.
    images : int
        Rows that are enrolled; the others were removed.
    """

    def __init__(self, connection: sqlite3.Connection, vault: GalleryVault | None):
        self._connection, self._vault = connection, vault
        query = "SELECT generation, slots, images FROM state"
        self.generation, self.slots, self.images = only_row(connection, query)
        if vault is not None:
            [stated] = only_row(connection, "SELECT state FROM protection")
            if stated != self._seal(vault):
                raise DamagedRowsError("its journal was changed since it was encrypted")
        self._names = names_of(vault, self.generation)

    @property
    def state(self) -> tuple[int, int, int]:
        """The figures above, which every change changes."""
        return self.generation, self.slots, self.images

    def count(self) -> int:
        """Number of images in the table of images: `images`, unless the journal is damaged."""
        [(count,)] = self._execute("SELECT COUNT(*) FROM images")
        return count

    def at(self, slots: Sequence[int]) -> dict[int, EnrolledImage]:
        """What is enrolled in some rows; rows that were removed are left out."""
        found: dict[int, EnrolledImage] = {}
        for start in range(0, len(slots), _VARIABLES):
            part = slots[start : start + _VARIABLES]
            marks = ",".join("?" * len(part))
            found |= self._images(f"WHERE slot IN ({marks})", part)
        return found

    def between(self, start: int, stop: int) -> dict[int, EnrolledImage]:
        """What is enrolled in rows from `start` to before `stop`."""
        return self._images("WHERE slot >= ? AND slot < ?", (start, stop))

    def first(self) -> dict[int, EnrolledImage]:
        """The image in the first row that is enrolled; none in an empty gallery."""
        return self._images("ORDER BY slot LIMIT 1")

    def identities(self) -> list[str]:
        """All identities, in alphabetical order."""
        return sorted(image.identity for image in self._images("GROUP BY identity").values())

    def count_identities(self) -> int:
        """Number of identities."""
        [(count,)] = self._execute("SELECT COUNT(DISTINCT identity) FROM images")
        return count

    def of_identity(self, identity: str) -> dict[int, EnrolledImage]:
        """Images of an identity by row; none if it is not enrolled."""
        return self._images("WHERE identity = ? ORDER BY slot", (self._names.identity(identity),))

    def _images(self, which: str, values: Sequence = ()) -> dict[int, EnrolledImage]:
        found = self._execute(f"{_IMAGES} {which}", values)
        return {slot: self._names.read(slot, tuple(columns)) for slot, *columns in found}

    def _seal(self, vault: GalleryVault) -> bytes:
        about = only_row(self._connection, "SELECT kind, encoding FROM about")
        return vault.seal_of((*about, *self.state))

    def _execute(self, query: str, values: Sequence = ()) -> sqlite3.Cursor:
        return self._connection.execute(query, values)


class Change(Snapshot):
    """A change of a journal, not yet committed; what was changed is seen by what follows."""

    def add(self, images: Sequence[EnrolledImage]) -> None:
        """Enrol images in the rows that follow the last.

        An earlier image of the same identity and name is removed.
        """
        columns = [
            (self.slots + number, *self._names.columns(self.slots + number, image))
            for number, image in enumerate(images)
        ]
        named = [
            (identity, name)
            for image, (_, identity, name, _) in zip(images, columns, strict=True)
            if image.image
        ]
        self._remove_where("identity = ? AND image = ?", named)
        self._connection.executemany("INSERT INTO images VALUES (?, ?, ?, ?)", columns)
        self.slots += len(images)
        self.images += len(images)
        self._store()

    def remove(self, identities: Iterable[str]) -> None:
        """Remove identities, with all their images."""
        values = [(self._names.identity(identity),) for identity in identities]
        self._remove_where("identity = ?", values)
        self._store()

    def _remove_where(self, condition: str, values: list[tuple]) -> None:
        execute = self._connection.executemany
        execute(f"INSERT INTO to_erase SELECT slot FROM images WHERE {condition}", values)
        self.images -= max(execute(f"DELETE FROM images WHERE {condition}", values).rowcount, 0)

    def to_erase(self) -> list[int]:
        """Rows that were removed but may not be overwritten yet."""
        return [slot for (slot,) in self._execute("SELECT slot FROM to_erase")]

    def erased(self) -> None:
        """State that all rows of `to_erase` have been overwritten."""
        self._execute("DELETE FROM to_erase")

    def renumber(self) -> np.ndarray:
        """Number the rows of enrolled images from 0, in their order, as a new generation.

        Returns
        -------
        ndarray of shape (images,), int64
            The former number of each row.
        """
        slots = self._execute("SELECT slot FROM images ORDER BY slot").fetchall()
        names = names_of(self._vault, self.generation + 1)
        self._execute("CREATE TEMP TABLE renumbered AS SELECT * FROM images LIMIT 0")
        self._connection.executemany(
            "INSERT INTO renumbered VALUES (?, ?, ?, ?)", self._renamed(names)
        )
        self._execute("DELETE FROM images")
        self._execute("INSERT INTO images SELECT * FROM renumbered")
        self._execute("DROP TABLE renumbered")
        self.erased()
        self.generation += 1
        self._names = names
        self.slots = self.images
        self._store()
        return np.array(slots, np.int64).reshape(-1)

    def _renamed(self, names: Names) -> Iterator[tuple]:
        rows = self._execute(f"{_IMAGES} ORDER BY slot")
        for number, (slot, *columns) in enumerate(rows):
            yield number, *names.columns(number, self._names.read(slot, tuple(columns)))

    def encrypt(self, key: SecretKey) -> np.ndarray:
        """Encrypt the names of a plain gallery, and number its rows as `renumber` does."""
        data_key = DataKey.new()
        self._vault = GalleryVault(data_key)
        self._execute(_PROTECTION)
        self._execute("INSERT INTO protection VALUES (?, ?)", (data_key.wrap(key), b""))
        self._execute(f"PRAGMA user_version = {ENCRYPTED_FORMAT}")
        return self.renumber()

    @property
    def vault(self) -> GalleryVault | None:
        """Keys of the gallery as it will be."""
        return self._vault

    def _store(self) -> None:
        self._execute("UPDATE state SET generation = ?, slots = ?, images = ?", self.state)
        if self._vault is not None:
            self._execute("UPDATE protection SET state = ?", (self._seal(self._vault),))
