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
from collections.abc import Iterator
from pathlib import Path

from iris_tf.matching.gallery_names import EnrolledImage as EnrolledImage
from iris_tf.matching.gallery_state import ENCRYPTED_FORMAT, Change, Snapshot, only_row
from iris_tf.matching.gallery_vault import GalleryVault
from iris_tf.matching.row_file import DamagedRowsError
from iris_tf.matching.sealed_files import DataKey, encryption_id, wrapped_by
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Origin
from iris_tf.matching.template_records import TemplateKind
from iris_tf.support.errors import ModelError, ProtectionError, first_line
from iris_tf.support.foreign_files import UNUSABLE
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling

JOURNAL = "gallery.sqlite"
"""File that makes a folder a gallery."""

FORMAT = 1
"""Version of journals."""

_APPLICATION = 0x49725466  # "IrTf", in the header of the database
_OWNER_ONLY = 0o600
_WAIT_SECONDS = 30.0  # for another process that just recovers the journal of a killed one
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


class Journal:
    """Opens the journal of a gallery folder.

    Connections are opened for each use: opening one takes a fraction of a millisecond, and none
    is shared by threads or inherited by processes.

    Attributes
    ----------
    vault : GalleryVault or None
        Keys of an encrypted gallery, once it was unlocked.
    """

    def __init__(self, folder: Path):
        self._folder, self._file = folder, folder / JOURNAL
        self.vault: GalleryVault | None = None

    def make(self, kind: TemplateKind, encoding: str, key: SecretKey | None) -> None:
        """Make an empty journal, whole or not at all; one that exists is left unchanged."""
        os.close(os.open(self._file, os.O_CREAT, _OWNER_ONLY))
        with self._connected("rw") as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0]:
                return
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            text = _text_of(kind)
            connection.execute("INSERT INTO about VALUES (?, ?)", (text, encoding))
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            if key is not None:
                Change(connection, None).encrypt(key)
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
            text, stored = only_row(connection, "SELECT kind, encoding FROM about")
            if version not in (FORMAT, ENCRYPTED_FORMAT) or stored != encoding:
                raise ModelError(
                    f"{self._folder}: this gallery is of another version (format {version}, "
                    f"templates {stored!r}) than this program reads (format {FORMAT}, templates "
                    f"{encoding!r}); use the version that made it, or enrol again."
                )
            try:
                return _kind_of(text)
            except UNUSABLE:
                raise self._explained(sqlite3.DatabaseError("its first table")) from None

    def sealed_data_key(self) -> bytes | None:
        """The data key as the journal holds it, see `DataKey.wrap`; None of a plain gallery."""
        with self._connected("ro") as connection:
            return self._data_key(connection)

    def unlock(self, key: SecretKey | None) -> bytes | None:
        """Give the key that the gallery is encrypted with, or None for a plain one.

        Returns
        -------
        bytes or None
            `sealed_data_key`.

        Raises
        ------
        ProtectionError
            When it is the wrong one, is missing, or the gallery is plain despite a key.
        """
        wrapped = self.sealed_data_key()
        if wrapped is None:
            if key is not None:
                raise ProtectionError(
                    f"{self._folder}: it is not encrypted although a key is given, so somebody may "
                    "have exchanged it; encrypt it with `iris-tf gallery encrypt`, or give no key."
                )
            return None
        if key is None:
            raise ProtectionError(
                f"{self._folder}: it is encrypted with the key {wrapped_by(wrapped)}; give that "
                "key."
            )
        self.vault = GalleryVault(DataKey.unwrap(wrapped, key, str(self._folder)))
        return wrapped

    def rewrap(self, old: SecretKey, new: SecretKey) -> bool:
        """Change the key of an encrypted gallery, whole or not at all; False if `new` is its key.

        Raises
        ------
        ProtectionError
            When it is plain, or encrypted with neither key.
        """
        with self.writing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            wrapped = self._data_key(connection)
            if wrapped is None:
                raise ProtectionError(
                    f"{self._folder}: it is not encrypted, so it has no key to change; encrypt it "
                    "with `iris-tf gallery encrypt`."
                )
            if wrapped_by(wrapped) == encryption_id(new):
                DataKey.unwrap(wrapped, new, str(self._folder))
                return False
            data_key = DataKey.unwrap(wrapped, old, str(self._folder))
            connection.execute("UPDATE protection SET data_key = ?", (data_key.wrap(new),))
            connection.execute("COMMIT")
            self.forget_past(connection)
        return True

    def forget_past(self, connection: sqlite3.Connection) -> None:
        """Cut off the log of former changes, in which former content may be; unless it is read."""
        with self._errors_explained():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _require_unlocked(self, connection: sqlite3.Connection) -> None:
        if (self._data_key(connection) is None) != (self.vault is None):
            raise ProtectionError(
                f"{self._folder}: it was encrypted, or exchanged, since it was opened; open it "
                "again, with its key."
            )

    def _data_key(self, connection: sqlite3.Connection) -> bytes | None:
        if connection.execute("PRAGMA user_version").fetchone()[0] != ENCRYPTED_FORMAT:
            return None
        found = connection.execute("SELECT data_key FROM protection").fetchone()
        if found is None or not isinstance(found[0], bytes):
            raise DamagedRowsError("its journal has no key")
        return found[0]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The state at this moment, which does not change within the ``with`` block."""
        with self._connected("ro") as connection:
            connection.execute("BEGIN")
            self._require_unlocked(connection)
            yield Snapshot(connection, self.vault)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection for several changes, to be used by one thread at a time."""
        with self._connected("rw") as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            yield connection

    @contextlib.contextmanager
    def change(self, connection: sqlite3.Connection) -> Iterator[Change]:
        """A change of the journal, committed at the end of the ``with`` block.

        When the block or the commit raises, nothing has changed.
        """
        with self._errors_explained():
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._require_unlocked(connection)
                change = Change(connection, self.vault)
                yield change
                connection.execute("COMMIT")
                self.vault = change.vault
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
        except DamagedRowsError as error:
            raise ModelError(
                f"{self._folder}: the gallery is damaged ({error}); restore it from a copy, or "
                "enrol again."
            ) from None

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
            f"{self._file}: the journal of this gallery cannot be read ({first_line(error)}); "
            "restore it from a copy, or enrol again."
        )


def _text_of(kind: TemplateKind) -> str:
    values = dataclasses.asdict(kind)
    if kind.levelling is None:  # as galleries from before there was any
        del values["levelling"]
    return json.dumps(values)


def _kind_of(text: str) -> TemplateKind:
    values = json.loads(text)
    layout, levelling = values.pop("layout"), values.pop("levelling", None)
    return TemplateKind(
        Origin(**values.pop("origin")),
        layout=None if layout is None else PhaseCodeLayout(**layout),
        levelling=None if levelling is None else Levelling.from_json(levelling),
        **values,
    )
