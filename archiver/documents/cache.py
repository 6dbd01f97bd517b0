"""Cache the text and facts of documents by the SHA-256 of their content, so that reports open each content once.

The cache holds text of materials.  Therefore only the owner can read it, and a disposal removes the entries of the
content that it deletes.  An entry that another user could have written is not used, because a report would show it
as content of the archive.

A file in the folder names the archive, its newest event, and the number of disposals when the entries were made.
The entries of another archive, of a history that the journal lacks, or from before a disposal, are not believed:
another program may have made them, or they hold text that was destroyed. The owner's next process deletes them.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.documents.document import Document
from archiver.model import JournalPoint
from archiver.path_existence import is_there

if TYPE_CHECKING:
    from archiver.store.archive import Archive

CACHE_FOLDER = "documents"
#: Names the origin of the entries, as JSON.
_ORIGIN_FILE = "origin.json"
#: Part of each file name. Raised when a release reads documents differently, so that old entries are not found.
_FORMAT_VERSION = 1
#: The fastest level of zlib: most entries are read only a few times, so a smaller file saves little.
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True, slots=True)
class CacheOrigin:
    """The archive and its state when the entries of a cache were made."""

    #: The newest event.
    point: JournalPoint
    #: How many disposals had been certified.
    disposal_count: int


def open_document_cache(archive: Archive) -> DocumentCache:
    """Return the document cache of ``archive``, emptied or unused if its entries are not to be believed.

    Raises StorageError if the journal cannot be read.
    """
    document_cache = DocumentCache(archive.root)
    present_origin = present_cache_origin(archive)
    if present_origin is not None:
        document_cache.bind(
            present_origin,
            lambda origin: (
                origin.disposal_count == present_origin.disposal_count and archive.journal.has_event(origin.point)
            ),
        )
    return document_cache


def present_cache_origin(archive: Archive) -> CacheOrigin | None:
    """Return the origin of entries that are made now; None for an archive without events."""
    point = archive.index.journal_point
    if point is None:
        return None
    return CacheOrigin(point, sum(1 for disposal in archive.index.disposals() if disposal.certified))


class DocumentCache:
    """The folder ``documents`` of an archive, which only the archive's owner writes.

    An entry is the file ``<first two digits>/<SHA-256>.<type>.<text or facts>.<format version>``, a Document as
    compressed JSON.
    """

    def __init__(self, archive_folder: Path) -> None:
        """Use the cache below ``archive_folder``, created by :meth:`put`."""
        self._archive_folder = archive_folder
        self._cache_folder = archive_folder / CACHE_FOLDER
        #: False for entries of another origin that this process cannot delete.
        self._is_believed = True

    def bind(self, origin: CacheOrigin, is_valid: Callable[[CacheOrigin], bool]) -> None:
        """Delete all entries unless ``is_valid`` accepts their origin, and record ``origin`` as the new one.

        If they cannot be deleted, because another user or a full disk is in the way, no entry is used. Never
        raises OSError.
        """
        recorded_origin = self._read_origin()
        self._is_believed = recorded_origin is not None and is_valid(recorded_origin)
        if recorded_origin == origin and self._is_believed:
            return
        try:
            if self._owner_uid() != os.geteuid():
                return
            if not self._is_believed and is_there(self._cache_folder, follow_links=False):
                _remove(self._cache_folder)
            self._ensure_private_folder(self._cache_folder)
            self._write_origin(origin)
        except OSError:
            # The entries stay. Without their origin they are not used, and each document is read again.
            return
        self._is_believed = True

    def renew(self, origin: CacheOrigin | None) -> None:
        """Record ``origin`` for the entries that are there, which a disposal has left; never raises OSError."""
        # Without the record, the next process deletes the entries, and reads the documents again.
        with suppress(OSError):
            if origin is not None and self._is_believed and self._owner_uid() == os.geteuid():
                self._write_origin(origin)

    def _read_origin(self) -> CacheOrigin | None:
        """Return the recorded origin; None if there is none that only the owner can have written."""
        try:
            if not self._is_trusted(self._cache_folder / _ORIGIN_FILE):
                return None
            members = json.loads((self._cache_folder / _ORIGIN_FILE).read_bytes())
            point = JournalPoint(members["archive"], members["seq"], members["digest"], members["head"])
            return CacheOrigin(point, members["disposals"])
        except (OSError, ValueError, TypeError, KeyError):
            # The file is missing, damaged or of another release: nothing shows where the entries are from.
            return None

    def _write_origin(self, origin: CacheOrigin) -> None:
        """Record the origin, in one rename; raises OSError."""
        point = origin.point
        members = {
            "archive": point.archive_id,
            "seq": point.seq,
            "digest": point.sha256,
            "head": point.commit,
            "disposals": origin.disposal_count,
        }
        temporary_fd, temporary_path = tempfile.mkstemp(dir=self._cache_folder)
        with os.fdopen(temporary_fd, "wb") as origin_file:
            origin_file.write(json.dumps(members).encode("ascii"))
        os.rename(temporary_path, self._cache_folder / _ORIGIN_FILE)

    def get(self, sha256: str, document_type: str, with_text: bool) -> Document | None:
        """Return the document cached for the content ``sha256``; None if there is no trustworthy entry.

        ``document_type`` is a type of :mod:`archiver.documents.document_types`.  The entry of a document
        ``with_text`` is separate from the entry with the facts alone.  Never raises OSError: an entry that
        cannot be read counts as missing.
        """
        entry_path = self._entry_path(sha256, document_type, with_text)
        try:
            if not self._is_believed or not self._is_trusted(entry_path):
                return None
            return Document.from_json(json.loads(zlib.decompress(entry_path.read_bytes())))
        except (OSError, ValueError, TypeError, KeyError, zlib.error):
            # The entry is missing, damaged or of another release. The caller then reads the document again.
            return None

    def put(self, sha256: str, with_text: bool, document: Document, content_path: Path) -> None:
        """Cache the document read from the file ``content_path``, whose content has the SHA-256 ``sha256``.

        Caches nothing if that file no longer exists, if this process does not run as the archive's owner, or if
        the disk cannot be written.  Never raises OSError.
        """
        entry_path = self._entry_path(sha256, document.kind, with_text)
        # Without the entry, the document is only read once more.
        with suppress(OSError):
            if self._owner_uid() != os.geteuid() or not self._is_believed:
                # The owner could not remove a file that root creates here.
                return
            for folder in (self._cache_folder, entry_path.parent):
                self._ensure_private_folder(folder)
            temporary_fd, temporary_path = tempfile.mkstemp(dir=entry_path.parent)
            with os.fdopen(temporary_fd, "wb") as entry_file:
                entry_file.write(zlib.compress(json.dumps(document.to_json()).encode("ascii"), _COMPRESSION_LEVEL))
            os.rename(temporary_path, entry_path)
            if not _certainly_exists(content_path):
                # A disposal may have deleted the content, and its entries, while the document was read.
                entry_path.unlink()

    def _ensure_private_folder(self, folder: Path) -> None:
        """Create ``folder`` if necessary, writable only for the archive's owner.

        A folder or file at this path that another user owns or can write to is deleted, and replaced by an empty
        folder.  Raises OSError if that fails.
        """
        if is_there(folder, follow_links=False) and not self._only_owner_can_write(folder):
            _remove(folder)
        folder.mkdir(mode=0o700, exist_ok=True)

    def _is_trusted(self, entry_path: Path) -> bool:
        """Return True if only the archive's owner can write the entry and its folders.

        Raises OSError if the entry or a folder is missing.
        """
        entry_and_folders = (self._cache_folder, entry_path.parent, entry_path)
        return all(self._only_owner_can_write(path) for path in entry_and_folders)

    def _only_owner_can_write(self, path: Path) -> bool:
        """Return True if ``path`` is a file or folder that only the archive's owner can write.

        Raises OSError if nothing is there.
        """
        path_stat = os.lstat(path)
        is_file_or_folder = stat.S_ISDIR(path_stat.st_mode) or stat.S_ISREG(path_stat.st_mode)
        # If an access-control list grants write access to anyone, the group's bit shows it.
        return is_file_or_folder and path_stat.st_uid == self._owner_uid() and not path_stat.st_mode & 0o022

    def _owner_uid(self) -> int:
        """Return the user ID of the archive's owner; raises OSError if the archive's folder is missing."""
        return os.stat(self._archive_folder).st_uid

    def remove_entries(self, sha256_digests: Iterable[str]) -> None:
        """Remove all entries of the given contents; raises OSError if any cannot be removed.

        Contents without an entry are skipped.
        """
        for sha256 in sha256_digests:
            # Path.glob would skip a folder that cannot be listed, and leave the text in it.
            with suppress(FileNotFoundError, NotADirectoryError):
                for entry_path in list((self._cache_folder / sha256[:2]).iterdir()):
                    if entry_path.name.startswith(f"{sha256}."):
                        entry_path.unlink(missing_ok=True)

    def _entry_path(self, sha256: str, document_type: str, with_text: bool) -> Path:
        """Return the path of an entry, whether or not the entry exists."""
        content_part = "text" if with_text else "facts"
        return self._cache_folder / sha256[:2] / f"{sha256}.{document_type}.{content_part}.{_FORMAT_VERSION}"


def _certainly_exists(path: Path) -> bool:
    """Return True if a file exists at ``path``; False also if this cannot be determined."""
    try:
        return is_there(path)
    except OSError:
        # An entry dropped without need is read again. An entry kept by mistake would outlive its content.
        return False


def _remove(path: Path) -> None:
    """Delete a folder with all that is in it, or a file or link; raises OSError."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)
