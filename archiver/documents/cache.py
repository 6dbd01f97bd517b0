"""Cache the text and facts of documents by the SHA-256 of their content, so that reports open each content once.

The cache holds text of materials.  Therefore only the archive's owner can read it, and a disposal removes the
entries of the content that it deletes.  An entry that another user could have written is not used, because a
report would show it as content of the archive.

A file in the cache, the *origin*, names the archive, its newest event, and the number of disposals at the time
when the entries were created.  Entries of another archive, of a history that the journal lacks, or from before a
disposal are not used: they may be forged, or hold text that was destroyed. The owner's next process deletes them.
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

#: The name of the cache's folder in the archive's folder.
CACHE_FOLDER = "documents"
#: The file in this folder that names the origin of the entries, as JSON.
_ORIGIN_FILE = "origin.json"
#: Part of each file name. Raised when a release reads documents differently, so that old entries are not found.
_FORMAT_VERSION = 1
#: The fastest level of zlib: most entries are read only a few times, so a smaller file saves little.
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True, slots=True)
class CacheOrigin:
    """The archive and its state at the time when the entries of a cache were created."""

    #: The newest event, which also names the archive.
    point: JournalPoint
    #: The number of disposals that were certified.
    disposal_count: int


def open_document_cache(archive: Archive) -> DocumentCache:
    """Return the document cache of ``archive``; entries of another origin are deleted, or at least not used.

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
    """Return the origin of entries that are created now; None for an archive without events."""
    point = archive.index.journal_point
    if point is None:
        return None
    return CacheOrigin(point, sum(1 for disposal in archive.index.disposals() if disposal.certified))


class DocumentCache:
    """The folder ``documents`` of an archive, to which only the archive's owner writes.

    An entry is a Document as compressed JSON, in the file
    ``<first two digits of the SHA-256>/<SHA-256>.<type>.<text or facts>.<format version>``.
    """

    def __init__(self, archive_folder: Path) -> None:
        """Use the cache in ``archive_folder``; its own folder is created by :meth:`bind` or :meth:`put`."""
        self._archive_folder = archive_folder
        self._cache_folder = archive_folder / CACHE_FOLDER
        #: False while there are entries of another origin that this process could not delete.
        self._is_origin_valid = True

    def bind(self, origin: CacheOrigin, is_valid: Callable[[CacheOrigin], bool]) -> None:
        """Delete all entries unless ``is_valid`` accepts their origin, and record ``origin`` as the new origin.

        If this process cannot delete them, because it runs as another user or the disk fails, it uses no entry.
        Never raises OSError.
        """
        recorded_origin = self._read_origin()
        self._is_origin_valid = recorded_origin is not None and is_valid(recorded_origin)
        if recorded_origin == origin and self._is_origin_valid:
            return
        try:
            if self._owner_uid() != os.geteuid():
                # Only the owner writes to the cache.
                return
            if not self._is_origin_valid and is_there(self._cache_folder, follow_links=False):
                _delete_path(self._cache_folder)
            self._ensure_private_folder(self._cache_folder)
            self._write_origin(origin)
        except OSError:
            # The entries stay, but are not used without a valid origin. Each document is read again.
            return
        self._is_origin_valid = True

    def renew(self, origin: CacheOrigin | None) -> None:
        """Record ``origin`` for the entries that remain after a disposal; None records nothing.

        Never raises OSError.
        """
        # Without the record, the next process deletes the entries, and reads the documents again.
        with suppress(OSError):
            if origin is not None and self._is_origin_valid and self._owner_uid() == os.geteuid():
                self._write_origin(origin)

    def _read_origin(self) -> CacheOrigin | None:
        """Return the recorded origin; None without a record, or if another user can have written the record."""
        try:
            if not self._is_trusted(self._cache_folder / _ORIGIN_FILE):
                return None
            origin_fields = json.loads((self._cache_folder / _ORIGIN_FILE).read_bytes())
            point = JournalPoint(
                origin_fields["archive"], origin_fields["seq"], origin_fields["digest"], origin_fields["head"]
            )
            return CacheOrigin(point, origin_fields["disposals"])
        except (OSError, ValueError, TypeError, KeyError):
            # The file is missing, damaged or of another release: nothing shows where the entries are from.
            return None

    def _write_origin(self, origin: CacheOrigin) -> None:
        """Write the origin file in one step, by a rename, so that readers never see a half-written file.

        Raises OSError.
        """
        point = origin.point
        origin_fields = {
            "archive": point.archive_id,
            "seq": point.seq,
            "digest": point.sha256,
            "head": point.commit,
            "disposals": origin.disposal_count,
        }
        temporary_fd, temporary_path = tempfile.mkstemp(dir=self._cache_folder)
        with os.fdopen(temporary_fd, "wb") as origin_file:
            origin_file.write(json.dumps(origin_fields).encode("ascii"))
        os.rename(temporary_path, self._cache_folder / _ORIGIN_FILE)

    def get(self, sha256: str, document_type: str, with_text: bool) -> Document | None:
        """Return the document cached for the content ``sha256``; None if there is no trustworthy entry.

        ``document_type`` is a type of :mod:`archiver.documents.document_types`.  With ``with_text``, the document
        has text and facts; otherwise it has the facts alone, which are a separate entry.  Never raises OSError: an
        entry that cannot be read counts as missing.
        """
        entry_path = self._entry_path(sha256, document_type, with_text)
        try:
            if not self._is_origin_valid or not self._is_trusted(entry_path):
                return None
            return Document.from_json(json.loads(zlib.decompress(entry_path.read_bytes())))
        except (OSError, ValueError, TypeError, KeyError, zlib.error):
            # The entry is missing, damaged or of another release. The caller then reads the document again.
            return None

    def put(self, sha256: str, with_text: bool, document: Document, content_path: Path) -> None:
        """Cache the document read from the file ``content_path``, whose content has the SHA-256 ``sha256``.

        See :meth:`get` for ``with_text``.  Caches nothing if that file no longer exists, if this process does not
        run as the archive's owner, or if the disk cannot be written.  Never raises OSError.
        """
        entry_path = self._entry_path(sha256, document.kind, with_text)
        # Without the entry, the document is only read once more.
        with suppress(OSError):
            if self._owner_uid() != os.geteuid() or not self._is_origin_valid:
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
        """Create a missing ``folder``, to which only the archive's owner has access.

        If another user owns or can write to a file or folder at this path, it is deleted, and replaced by an empty
        folder.  Raises OSError if that fails.
        """
        if is_there(folder, follow_links=False) and not self._only_owner_can_write(folder):
            _delete_path(folder)
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
        # If an access control list lets any other user write, the bit of the group is set.
        return is_file_or_folder and path_stat.st_uid == self._owner_uid() and not path_stat.st_mode & 0o022

    def _owner_uid(self) -> int:
        """Return the user ID of the archive's owner; raises OSError if the archive's folder is missing."""
        return os.stat(self._archive_folder).st_uid

    def remove_entries(self, sha256_digests: Iterable[str]) -> None:
        """Delete the entries of each content, given as SHA-256; a content without an entry is skipped.

        Raises OSError if an entry cannot be deleted.
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
    """Return True if a file exists at ``path``; False if nothing exists, or if the answer cannot be known."""
    try:
        return is_there(path)
    except OSError:
        # A document whose entry is dropped without need is read again. An entry that is kept by mistake would
        # outlive its content.
        return False


def _delete_path(path: Path) -> None:
    """Delete a folder and everything in it, or a file or link; raises OSError."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)
