"""The journal of a gallery folder: who is enrolled, and in which row of the other files.

It is an SQLite database in WAL mode: a change that was committed survives the end of the process
and of the power, readers see the state of one moment, and neither waits for the other.
"""

import contextlib
import dataclasses
import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iris_tf.matching.template import Origin
from iris_tf.matching.template_records import TemplateKind
from iris_tf.support.errors import ModelError
from iris_tf.support.foreign_files import UNUSABLE
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

JOURNAL = "gallery.sqlite"
"""File that makes a folder a gallery."""

FORMAT = 1
_APPLICATION = 0x49725466  # "IrTf", in the header of the database
_OWNER_ONLY = 0o600
_WAIT_SECONDS = 30.0  # for another process that just recovers the journal of a killed one
_VARIABLES = 500  # in one query; SQLite's limit was 999
_NOT_WRITTEN = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
)

_SCHEMA = """
CREATE TABLE about (kind TEXT NOT NULL, encoding TEXT NOT NULL);
CREATE TABLE state (generation INTEGER NOT NULL, slots INTEGER NOT NULL, images INTEGER NOT NULL);
CREATE TABLE images (
    slot INTEGER PRIMARY KEY, identity TEXT NOT NULL, image TEXT NOT NULL, content TEXT NOT NULL
);
CREATE INDEX images_of_identity ON images (identity, image);
CREATE TABLE to_erase (slot INTEGER PRIMARY KEY);
INSERT INTO state VALUES (1, 0, 0);
"""


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

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        query = "SELECT generation, slots, images FROM state"
        self.generation, self.slots, self.images = connection.execute(query).fetchone()

    @property
    def state(self) -> tuple[int, int, int]:
        """The figures above, which every change changes."""
        return self.generation, self.slots, self.images

    def at(self, slots: Sequence[int]) -> dict[int, EnrolledImage]:
        """What is enrolled in some rows; rows that were removed are left out."""
        found: dict[int, EnrolledImage] = {}
        for start in range(0, len(slots), _VARIABLES):
            part = slots[start : start + _VARIABLES]
            marks = ",".join("?" * len(part))
            query = f"SELECT slot, identity, image, content FROM images WHERE slot IN ({marks})"
            found |= {slot: EnrolledImage(*rest) for slot, *rest in self._execute(query, part)}
        return found

    def between(self, start: int, stop: int) -> dict[int, EnrolledImage]:
        """What is enrolled in rows from `start` to before `stop`."""
        query = "SELECT slot, identity, image, content FROM images WHERE slot >= ? AND slot < ?"
        return {s: EnrolledImage(*rest) for s, *rest in self._execute(query, (start, stop))}

    def first(self) -> dict[int, EnrolledImage]:
        """The image in the first row that is enrolled; none in an empty gallery."""
        query = "SELECT slot, identity, image, content FROM images ORDER BY slot LIMIT 1"
        return {slot: EnrolledImage(*rest) for slot, *rest in self._execute(query)}

    def identities(self) -> list[str]:
        """All identities, in alphabetical order."""
        query = "SELECT DISTINCT identity FROM images ORDER BY identity"
        return [identity for (identity,) in self._execute(query)]

    def count_identities(self) -> int:
        """Number of identities."""
        [(count,)] = self._execute("SELECT COUNT(DISTINCT identity) FROM images")
        return count

    def of_identity(self, identity: str) -> dict[int, EnrolledImage]:
        """Images of an identity by row; none if it is not enrolled."""
        query = "SELECT slot, identity, image, content FROM images WHERE identity = ? ORDER BY slot"
        return {slot: EnrolledImage(*rest) for slot, *rest in self._execute(query, (identity,))}

    def _execute(self, query: str, values: Sequence = ()) -> sqlite3.Cursor:
        return self._connection.execute(query, values)


class Journal:
    """Opens the journal of a gallery folder.

    Connections are opened for each use: opening one takes a fraction of a millisecond, and none
    is shared by threads or inherited by processes.
    """

    def __init__(self, folder: Path):
        self._folder, self._file = folder, folder / JOURNAL

    def make(self, kind: TemplateKind, encoding: str) -> None:
        """Make an empty journal, whole or not at all; one that exists is left unchanged."""
        os.close(os.open(self._file, os.O_CREAT, _OWNER_ONLY))
        with self._connected("rw") as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0]:
                return
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            text = json.dumps(dataclasses.asdict(kind))
            connection.execute("INSERT INTO about VALUES (?, ?)", (text, encoding))
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")

    def kind(self, encoding: str) -> TemplateKind:
        """What the gallery holds.

        Raises
        ------
        ModelError
            When this is no gallery, or one of another version.
        """
        if not self._file.is_file():
            raise ModelError(
                f"{self._folder}: there is no such gallery; make one with `iris-tf enroll`."
            )
        with self._connected("ro") as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if application != _APPLICATION:
                raise ModelError(
                    f"{self._file}: this is not the journal of a gallery; give a folder that "
                    "`iris-tf enroll` made."
                )
            text, stored = connection.execute("SELECT kind, encoding FROM about").fetchone()
            if (version, stored) != (FORMAT, encoding):
                raise ModelError(
                    f"{self._folder}: this gallery is of another version (format {version}, "
                    f"templates {stored!r}) than this program reads (format {FORMAT}, templates "
                    f"{encoding!r}); use the version that made it, or enrol again."
                )
            try:
                return _kind_of(text)
            except UNUSABLE:
                raise self._explained(sqlite3.DatabaseError("its first table")) from None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The state at this moment, which does not change within the ``with`` block."""
        with self._connected("ro") as connection:
            connection.execute("BEGIN")
            yield Snapshot(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection for several changes, to be used by one thread at a time."""
        with self._connected("rw") as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            yield connection

    @contextlib.contextmanager
    def change(self, connection: sqlite3.Connection) -> Iterator["Change"]:
        """A change of the journal, committed at the end of the ``with`` block.

        When the block or the commit raises, nothing has changed.
        """
        with self._errors_explained():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Change(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite ends some by itself, as on a full disk
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _connected(self, mode: str) -> Iterator[sqlite3.Connection]:
        query = f"mode={mode}"
        if mode == "ro" and not os.access(self._folder, os.W_OK) and not self._has_log():
            query = "immutable=1"  # a medium that nobody can write; WAL mode would need a file
        with self._errors_explained():
            connection = sqlite3.connect(
                f"{self._file.absolute().as_uri()}?{query}",
                _WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                uri=True,
            )
            with contextlib.closing(connection):
                yield connection

    def _has_log(self) -> bool:
        return self._file.with_name(f"{JOURNAL}-wal").exists()

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError:
            raise self._explained(sqlite3.DatabaseError("a text")) from None
        except sqlite3.Error as error:
            raise self._explained(error) from None

    def _explained(self, error: sqlite3.Error) -> Exception:
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & 0xFF
        # SQLite does not say why it could not write. Mostly it is because the process may not
        # write larger files, which takes the same remedy as a full disk.
        if code == sqlite3.SQLITE_FULL or extended in _NOT_WRITTEN:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file))
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return OSError(errno.EACCES, os.strerror(errno.EACCES), str(self._file))
        return ModelError(
            f"{self._file}: the journal of this gallery cannot be read ({error}); restore it from "
            "a copy, or enrol again."
        )


class Change(Snapshot):
    """A change of a journal, not yet committed; what was changed is seen by what follows."""

    def add(self, images: Sequence[EnrolledImage]) -> None:
        """Enrol images in the rows that follow the last.

        An earlier image of the same identity and name is removed.
        """
        named = [(image.identity, image.image) for image in images if image.image]
        self._remove_where("identity = ? AND image = ?", named)
        rows = [
            (self.slots + number, image.identity, image.image, image.content)
            for number, image in enumerate(images)
        ]
        self._connection.executemany("INSERT INTO images VALUES (?, ?, ?, ?)", rows)
        self.slots += len(images)
        self.images += len(images)
        self._store()

    def remove(self, identities: Iterable[str]) -> None:
        """Remove identities, with all their images."""
        self._remove_where("identity = ?", [(identity,) for identity in identities])
        self._store()

    def _remove_where(self, condition: str, values: list[tuple]) -> None:
        execute = self._connection.executemany
        execute(f"INSERT INTO to_erase SELECT slot FROM images WHERE {condition}", values)
        self.images -= max(execute(f"DELETE FROM images WHERE {condition}", values).rowcount, 0)

    def all_slots(self) -> list[int]:
        """Rows of all enrolled images, in their order."""
        return [slot for (slot,) in self._execute("SELECT slot FROM images ORDER BY slot")]

    def to_erase(self) -> list[int]:
        """Rows that were removed but may not be overwritten yet."""
        return [slot for (slot,) in self._execute("SELECT slot FROM to_erase")]

    def erased(self) -> None:
        """State that all rows of `to_erase` have been overwritten."""
        self._execute("DELETE FROM to_erase")

    def renumber(self) -> None:
        """Number the rows of enrolled images from 0, in their order, as a new generation."""
        self._execute(
            "CREATE TEMP TABLE renumbered AS SELECT row_number() OVER (ORDER BY slot) - 1 AS slot, "
            "identity, image, content FROM images"
        )
        self._execute("DELETE FROM images")
        self._execute("INSERT INTO images SELECT * FROM renumbered")
        self._execute("DROP TABLE renumbered")
        self.erased()
        self.generation += 1
        self.slots = self.images
        self._store()

    def _store(self) -> None:
        self._execute("UPDATE state SET generation = ?, slots = ?, images = ?", self.state)


def _kind_of(text: str) -> TemplateKind:
    values = json.loads(text)
    layout = values.pop("layout")
    return TemplateKind(
        Origin(**values.pop("origin")),
        layout=None if layout is None else PhaseCodeLayout(**layout),
        **values,
    )
