"""A complete archive again, from the bucket alone, on a machine that has never seen it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from archiver.errors import NotFound, StorageProblem
from archiver.existence import is_there
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, Listed
from archiver.replica.sync import Progress
from archiver.retention.disposal_selection import needed_content
from archiver.store import permissions
from archiver.store.archive import Archive
from archiver.store.creation import new_archive
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.fsync import sync_filesystem
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.index import overview

_BATCH = 500
_SHARED = 0o444
#: Seconds before another attempt at an object whose connection broke.
_PAUSES = (0.2, 1.0)
_BUILDING = "archive.git.incomplete"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came back; ``missing``: content that no version in the bucket has."""

    events: int
    objects: int
    bytes: int
    missing: tuple[str, ...]


def recover(
    bucket: Bucket,
    root: Path,
    key_folder: Path | None,
    parallel: int,
    *,
    only_history: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Recovered:
    """Rebuild the archive at ``root``; run again, it goes on where it was interrupted.

    ``key_folder``: a copy of the signing key.  Raises NotFound where the bucket has no archive,
    BucketProblem, and StorageProblem where history does not fit together.
    """
    with permissions.masked():
        if not is_there(root / "archive.git"):
            _rebuild_history(bucket, root)
        _lay_out(root, key_folder)
        archive = Archive(root)
        try:
            with archive.writing(30):
                archive.reindex()
            signers = archive.keys / "allowed_signers"
            if not is_there(signers):
                signers.write_bytes(archive.signers())
            events = archive.journal.head()
            done: tuple[int, int, tuple[str, ...]] = (0, 0, ())
            if not only_history:
                done = _fetch(bucket, archive, parallel, progress)
            sync_filesystem(root)
            return Recovered(events.seq if events else 0, *done)
        finally:
            archive.close()


# --- history


def _rebuild_history(bucket: Bucket, root: Path) -> None:
    """Make ``archive.git``, or leave nothing; what a killed one left is removed by the next."""
    missing = new_archive.missing_folders(root)
    root.mkdir(parents=True, exist_ok=True)
    building = root / _BUILDING
    try:
        shutil.rmtree(building, ignore_errors=True)
        check_filesystem(building, root)
        permissions.make_private(root)
        repository = Repository.begin(building)
        try:
            repository.set_refs(_take_in_all(bucket, repository, root))
            repository.arm()
        finally:
            repository.close()
        # Crash window: an archive.git that is there is whole.
        os.rename(building, root / "archive.git")
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        new_archive.remove_folders(missing)
        raise


def _take_in_all(bucket: Bucket, repository: Repository, root: Path) -> dict[str, str]:
    """The refs after all bundles, each of which has to continue the journal of the ones before."""
    waiting: dict[int, list[tuple[object_names.EventSpan, Listed]]] = defaultdict(list)
    for each in bucket.versions(object_names.HISTORY):
        span = object_names.span_of(each.key)
        if span is not None and not each.is_marker:
            waiting[span.first].append((span, each))
    refs: dict[str, str] = {}
    last, head = 0, ""
    while candidates := waiting.pop(last + 1, None):
        # The oldest first: whoever came later could only add.
        for span, listed in sorted(candidates, key=lambda pair: pair[1].at):
            found = _take_in(bucket, repository, root, listed)
            if found.get(JOURNAL) == span.head and (not head or repository.is_ancestor(head, span.head)):
                refs |= found
                last, head = span.last, span.head
                break
        else:
            raise StorageProblem(
                "The history of the events from {first} on is damaged in the bucket. Nothing was made, and "
                "nothing there was changed. Try the bucket's other versions of {key}.",
                first=last + 1,
                key=candidates[0][1].key,
            )
    if not refs:
        raise NotFound("There is no archive's history in the bucket. Nothing was made. Check the prefix of --url.")
    return refs


def _take_in(bucket: Bucket, repository: Repository, root: Path, listed: Listed) -> dict[str, str]:
    with NamedTemporaryFile(dir=root, prefix="tmp-bundle-") as stream:
        try:
            for data in bucket.get(listed.key, listed.version):
                stream.write(data)
            stream.flush()
            return repository.take_in(Path(stream.name))
        except (KeyError, StorageProblem) as error:
            if isinstance(error, BucketProblem):
                raise
            return {}


def _lay_out(root: Path, key_folder: Path | None) -> None:
    for name in ("spool", "keys"):
        (root / name).mkdir(exist_ok=True)
    (root / "keys").chmod(0o700)
    if key_folder is not None:
        try:
            shutil.copyfile(key_folder / "signing_key", root / "keys" / "signing_key")
        except OSError as error:
            raise StorageProblem(
                "The signing key {path} cannot be copied ({reason}). What came back so far stays. Name the folder "
                "that key backup wrote with --keys, and run this again.",
                path=key_folder / "signing_key",
                reason=error.strerror,
            ) from None
        (root / "keys" / "signing_key").chmod(0o600)
    permissions.grant_access(root, None)


# --- content


def _needed(archive: Archive) -> dict[str, int]:
    """Size by SHA-256 of the content that is not here."""
    needed = needed_content(archive.index)
    found = overview.content_intervals(archive.index)
    sizes = {sha256: size for _, sha256, size, _, _ in found if sha256 in needed}
    return {sha256: size for sha256, size in sizes.items() if not archive.content.has(sha256, size)}


def _fetch(
    bucket: Bucket, archive: Archive, parallel: int, progress: Progress
) -> tuple[int, int, tuple[str, ...]]:
    wanted = _needed(archive)
    places: dict[str, list[Listed]] = defaultdict(list)
    for each in bucket.versions(object_names.OBJECTS):
        if not each.is_marker and (sha256 := object_names.content_of(each.key)) in wanted:
            places[str(sha256)].append(each)
    total, done, missing = sum(wanted.values()), 0, []
    order = sorted(wanted)
    with ThreadPoolExecutor(parallel) as pool:
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            staged = dict(
                zip(batch, pool.map(lambda each: _stage(bucket, archive, places[each], each), batch), strict=True)
            )
            # Crash window: bytes first, names second, as in every capture.
            sync_filesystem(archive.root)
            for sha256, path in staged.items():
                if path is None:
                    missing.append(sha256)
                else:
                    _name(archive, path, sha256)
            done += sum(wanted[sha256] for sha256 in batch)
            progress(done, total)
    return len(wanted) - len(missing), total - sum(wanted[each] for each in missing), tuple(missing)


def _stage(bucket: Bucket, archive: Archive, versions: list[Listed], sha256: str) -> str | None:
    """A file in the spool with the bytes of that digest, from the oldest version that has them."""
    for each in sorted(versions, key=lambda each: each.at):
        if not each.is_marker and (path := _download(bucket, archive, each, sha256)):
            return path
    return None


def _download(bucket: Bucket, archive: Archive, each: Listed, sha256: str) -> str | None:
    """A file with the bytes of that version, None if they have another digest; raises BucketProblem."""
    for pause in _PAUSES:
        try:
            return _try_download(bucket, archive, each, sha256)
        except BucketProblem:
            time.sleep(pause)
    return _try_download(bucket, archive, each, sha256)


def _try_download(bucket: Bucket, archive: Archive, each: Listed, sha256: str) -> str | None:
    digest = hashlib.sha256()
    with NamedTemporaryFile(dir=archive.spool, prefix="tmp", delete=False) as stream:
        whole = False
        try:
            for data in bucket.get(each.key, each.version):
                digest.update(data)
                stream.write(data)
            whole = digest.hexdigest() == sha256
            os.fchmod(stream.fileno(), _SHARED)
        except KeyError:
            return None
        finally:
            if not whole:
                os.unlink(stream.name)
    return stream.name if whole else None


def _name(archive: Archive, path: str, sha256: str) -> None:
    target = archive.content.path(sha256)
    # Whoever reads has any umask, which must not change while their own files are written.
    mode = stat.S_IMODE(archive.content.objects.stat().st_mode) & 0o750
    for folder in (target.parent.parent, target.parent):
        folder.mkdir(mode, exist_ok=True)
    os.rename(path, target)
