"""Bringing versions back: plan first, then write, every byte hashed again.

Writing goes through directory descriptors, component by component, so that a
link planted in the target cannot lead a restore out of it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from archiver.errors import LazyMessage, NotFoundError, StorageError, UsageError
from archiver.model import Material, Submission, Version
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.content.objects import ContentStore
from archiver.store.events.evidence_events import VersionsRestored
from archiver.store.fsync import begin_write_out


class Overwrite(StrEnum):
    """What to do with a file that is already there."""

    NEVER = "never"
    IF_CHANGED = "if-changed"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RestoreItem:
    """One thing to write; ``path`` is relative to the target."""

    path: bytes
    material: Material


@dataclass(slots=True)
class RestorePlan:
    """What a restore will do."""

    target: Path
    versions: list[str] = field(default_factory=list)
    new: list[RestoreItem] = field(default_factory=list)
    same: list[RestoreItem] = field(default_factory=list)
    differing: list[RestoreItem] = field(default_factory=list)
    folders: list[RestoreItem] = field(default_factory=list)

    def to_write(self, overwrite: Overwrite) -> list[RestoreItem]:
        """The files that will be written."""
        if overwrite is Overwrite.ALWAYS:
            return self.new + self.differing + self.same
        return self.new + self.differing


def check_target(target: Path, watch: Path, archive: Path) -> None:
    """Refuse to write into the watched folder or the archive; raises UsageError."""
    real = Path(os.path.realpath(target))
    for folder in (watch, archive):
        forbidden = Path(os.path.realpath(folder))
        if real == forbidden or forbidden in real.parents:
            raise UsageError(
                "{target} lies inside {folder}, where nothing is ever restored to. Nothing was written. "
                "Choose another folder with --to.",
                target=target,
                folder=folder,
            )


def items_of(archive: Archive, version: Version, globs: Sequence[str], below: bytes = b"") -> list[RestoreItem]:
    """A version's materials as items; raises NotFoundError where ``globs`` fit nothing, or it was disposed of."""
    if version.disposed:
        raise NotFoundError(
            "The content of {tag} was disposed of under certificate {name}. Nothing was written. See it with: "
            "archiver dispose certificate {name!q} --to DIR",
            tag=version.tag,
            name=version.disposed,
        )
    items = []
    for material in archive.index.materials(version.submission, version.number):
        if globs and not any(_matches(material.path, glob) for glob in globs):
            continue
        path = below + b"/" + material.path if below else material.path
        items.append(RestoreItem(_safe(path), material))
    if globs and not items:
        raise NotFoundError(
            "No material of {tag} fits {globs}. Nothing was written. See the names with: archiver show {tag!q}",
            tag=version.tag,
            globs=", ".join(globs),
        )
    return items


def _matches(path: bytes, glob: str) -> bool:
    return fnmatch.fnmatchcase(path, glob.encode("utf-8", "surrogateescape")) or fnmatch.fnmatchcase(
        names.text(path), glob
    )


def _safe(path: bytes) -> bytes:
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise StorageError(
            "The archive names a material {path}, which leads out of the target. Nothing was written. "
            "Run archiver verify: the archive has been tampered with.",
            path=names.text(path),
        )
    return path


def state_at(archive: Archive, filing: str, moment: str) -> list[tuple[Version, bytes]]:
    """The versions that made up a filing at ``moment`` (RFC 3339, UTC), and their folders.

    Raises NotFoundError for a filing without a version at that time.
    """
    newest: dict[Submission, Version] = {}
    for version in archive.index.versions(filing):
        if version.captured_at <= moment:
            newest.setdefault(version.submission, version)
    if not newest:
        raise NotFoundError(
            "The filing {filing} has no version at {moment}. Nothing was written. See its versions with: "
            "archiver log {filing!q}",
            filing=filing,
            moment=moment,
        )
    # Numbered submissions share one folder: only the last one was there.
    last = max((s.number for s in newest if s.number is not None), default=None)
    newest = {s: v for s, v in newest.items() if s.number in (None, last)}
    return [(version, submission.folder) for submission, version in newest.items()]


def plan(target: Path, versions: Sequence[str], items: Iterable[RestoreItem]) -> RestorePlan:
    """Compare the items with what is in the target."""
    result = RestorePlan(target, list(versions))
    with _Target(target, create=False) as folder:
        for item in items:
            if item.material.sha256 is None:
                result.folders.append(item)
            elif (status := folder.status(item.path)) is None:
                result.new.append(item)
            elif stat.S_ISREG(status.st_mode) and folder.sha256(item.path) == item.material.sha256:
                result.same.append(item)
            else:
                result.differing.append(item)
    return result


def apply(
    content: ContentStore,
    the_plan: RestorePlan,
    overwrite: Overwrite,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Carry the plan out; returns the bytes written.  ``progress``: bytes done, and bytes in all.

    Raises UsageError before anything is written where files would be
    overwritten without leave, StorageError or NotFoundError for content that is
    damaged or gone.
    """
    if overwrite is Overwrite.NEVER and the_plan.differing:
        raise UsageError(
            LazyMessage.define(
                "{count} files in {target} differ from the archive, the first is {path}. Nothing was "
                "written. Choose an empty folder, or say --overwrite if-changed.",
                singular="{count} file in {target} differs from the archive: {path}. Nothing was written. Choose "
                "an empty folder, or say --overwrite if-changed.",
            ),
            count=len(the_plan.differing),
            target=the_plan.target,
            path=names.text(the_plan.differing[0].path),
        )
    written = 0
    try:
        the_plan.target.mkdir(parents=True, exist_ok=True)
        with _Target(the_plan.target, create=True) as folder:
            for item in the_plan.folders:
                folder.make_folder(item.path)
            items = the_plan.to_write(overwrite)
            total = sum(item.material.size for item in items)
            for size in _on_every_processor(lambda item: folder.write(content, item), items):
                written += size
                progress(written, total)
    except OSError as error:
        raise StorageError(
            "{target} cannot be written ({reason}). Nothing archived was lost; what was restored so far is "
            "whole. Make room or choose another folder, and restore again: it goes on where it stopped.",
            target=the_plan.target,
            reason=error.strerror or error,
        ) from None
    return written


def _on_every_processor(write: Callable[[RestoreItem], int], items: Sequence[RestoreItem]) -> Iterator[int]:
    """Hashing and writing let go of the interpreter; the first failure ends what has not begun."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield from pool.map(write, items)
    finally:
        pool.shutdown(cancel_futures=True)


def note(the_plan: RestorePlan, written: int) -> dict[str, Any]:
    """Return the arguments of the note for the journal: what was restored, and to which folder."""
    details = VersionsRestored(
        target=names.text(os.fsencode(os.path.abspath(the_plan.target))),
        versions=the_plan.versions,
        files=len(the_plan.new) + len(the_plan.differing) + len(the_plan.same),
        bytes_written=written,
    )
    about = ", ".join(the_plan.versions)[:500]
    return {"action": details.action.value, "about": about, "details": details.to_details()}


class _Target:
    """The folder that is restored to, entered without following links."""

    def __init__(self, root: Path, create: bool) -> None:
        self._root = root
        self._create = create
        self._top: int | None = None

    def __enter__(self) -> _Target:
        try:
            self._top = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._top = None
        except OSError as error:
            raise UsageError(
                "{path} cannot be used as a folder ({reason}). Nothing was written. Choose another one with --to.",
                path=self._root,
                reason=error.strerror,
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._top is not None:
            os.close(self._top)

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int | None, bytes]]:
        """The open folder that holds ``path`` (None: there is none yet), and the last name."""
        *parts, name = path.split(b"/")
        if self._top is None:
            yield None, name
            return
        descriptor = os.dup(self._top)
        try:
            for part in parts:
                if self._create:
                    _make(part, descriptor)
                deeper = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor
                )
                os.close(descriptor)
                descriptor = deeper
            yield descriptor, name
        except (FileNotFoundError, NotADirectoryError):
            if self._create:
                raise
            yield None, name
        finally:
            os.close(descriptor)

    def status(self, path: bytes) -> os.stat_result | None:
        """What is there now, or None."""
        with self._parent(path) as (folder, name):
            if folder is None:
                return None
            try:
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def sha256(self, path: bytes) -> str:
        """The digest of a regular file, empty if it cannot be read."""
        with self._parent(path) as (folder, name):
            try:
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError:
                return ""
            with open(descriptor, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

    def make_folder(self, path: bytes) -> None:
        """Make an empty folder."""
        with self._parent(path) as (folder, name):
            if folder is not None:
                _make(name, folder)

    def write(self, content: ContentStore, item: RestoreItem) -> int:
        """Write one file under a temporary name, check it, give it its name; returns its size."""
        with self._parent(item.path) as (folder, name):
            temporary = b".archiver-restore-%d-%d" % (os.getpid(), threading.get_ident())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o666, dir_fd=folder)
            kept = False
            try:
                with open(descriptor, "wb", buffering=0) as stream:
                    _copy_checked(content, item, stream.fileno())
                    begin_write_out(stream.fileno())
                    _set_mtime(stream.fileno(), item.material.mtime_ns)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                kept = True
            finally:
                if not kept:
                    os.unlink(temporary, dir_fd=folder)
        return item.material.size


def _set_mtime(descriptor: int, mtime_ns: int) -> None:
    # The bytes are what counts: a time that this filesystem cannot hold must not stop the other files.
    with suppress(OSError, OverflowError):
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))


def _make(name: bytes, folder: int) -> None:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise NotADirectoryError(f"{names.text(name)} is in the way") from None


def _copy_checked(content: ContentStore, item: RestoreItem, out: int) -> None:
    material = item.material
    if material.size == 0:
        return
    digest = hashlib.sha256()
    try:
        for chunk in content.views(material.sha256 or ""):
            digest.update(chunk)
            view = chunk
            while view:
                view = view[os.write(out, view) :]
    except FileNotFoundError:
        raise NotFoundError(
            "The content of {path} is not in the archive. It was not restored; everything before it was. "
            "Run archiver verify.",
            path=names.text(item.path),
        ) from None
    if digest.hexdigest() != material.sha256:
        raise StorageError(
            "The archived content of {path} is damaged. It was not restored; everything before it was. "
            "Run archiver verify, and bring the object {sha256} back from a backup or a clone.",
            path=names.text(item.path),
            sha256=material.sha256,
        )
