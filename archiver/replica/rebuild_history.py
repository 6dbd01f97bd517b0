"""Rebuilding ``archive.git`` from the bundles in the bucket."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from pathlib import Path
from tempfile import NamedTemporaryFile

from archiver.errors import NotFoundError, StorageError
from archiver.replica.bucket import Bucket, BucketProblem, ObjectMissing, ObjectVersion
from archiver.replica.object_names import HISTORY_PREFIX, EventSpan, parse_bundle_key
from archiver.store import permissions
from archiver.store.creation import new_archive
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.git.repository import JOURNAL, Repository

_UNFINISHED_NAME = "archive.git.incomplete"


def rebuild_history(bucket: Bucket, root: Path) -> None:
    """Create ``archive.git`` below ``root``, complete or not at all.

    It is built under another name, which the next attempt removes if this one is killed.

    Raises NotFoundError if the bucket has no history, StorageError if the history is damaged or the filesystem is
    not fit for an archive, and BucketProblem; nothing is left then.
    """
    new_folders = new_archive.missing_folders(root)
    root.mkdir(parents=True, exist_ok=True)
    unfinished = root / _UNFINISHED_NAME
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        check_filesystem(unfinished, root)
        permissions.make_private(root)
        repository = Repository.begin(unfinished)
        try:
            repository.set_refs(_unbundle_all(bucket, repository, root))
            repository.arm()
        finally:
            repository.close()
        # Crash window: an archive.git that is there is whole.
        os.rename(unfinished, root / "archive.git")
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        new_archive.remove_folders(new_folders)
        raise


def _unbundle_all(bucket: Bucket, repository: Repository, root: Path) -> dict[str, str]:
    """Unbundle all bundles in the order of events, and return the refs at the end.

    Each bundle has to continue the journal of the one before. Of several that begin with the same event the oldest
    is tried first: anybody with access to the bucket could only add later ones.

    Raises NotFoundError without any bundle, StorageError if no bundle for the next event is whole.
    """
    candidates_by_seq = _list_bundles(bucket)
    refs: dict[str, str] = {}
    last_seq, head_commit = 0, ""
    while candidates := candidates_by_seq.pop(last_seq + 1, None):
        for span, version in sorted(candidates, key=lambda candidate: candidate[1].modified_at):
            bundled_refs = _unbundle(bucket, repository, root, version)
            continues_journal = bundled_refs.get(JOURNAL) == span.head_commit and (
                not head_commit or repository.is_ancestor(head_commit, span.head_commit)
            )
            if continues_journal:
                refs |= bundled_refs
                last_seq, head_commit = span.last_seq, span.head_commit
                break
        else:
            raise StorageError(
                "The history of the events from {first} on is damaged in the bucket. Nothing was made, and "
                "nothing there was changed. Try the bucket's other versions of {key}.",
                first=last_seq + 1,
                key=candidates[0][1].key,
            )
    if not refs:
        raise NotFoundError(
            "There is no archive's history in the bucket. Nothing was made. Check the prefix of --url."
        )
    return refs


def _list_bundles(bucket: Bucket) -> dict[int, list[tuple[EventSpan, ObjectVersion]]]:
    """Return the versions of all bundles by the number of their first event."""
    bundles: dict[int, list[tuple[EventSpan, ObjectVersion]]] = defaultdict(list)
    for version in bucket.list_versions(HISTORY_PREFIX):
        span = parse_bundle_key(version.key)
        if span is not None and not version.is_delete_marker:
            bundles[span.first_seq].append((span, version))
    return bundles


def _unbundle(bucket: Bucket, repository: Repository, root: Path, version: ObjectVersion) -> dict[str, str]:
    """Add the objects of a bundle to the repository; return the refs, none for a damaged bundle.

    Raises BucketProblem: a bucket that fails says nothing about its other versions.
    """
    with NamedTemporaryFile(dir=root, prefix="tmp-bundle-") as stream:
        try:
            for data in bucket.download(version.key, version.version_id):
                stream.write(data)
            stream.flush()
            return repository.take_in(Path(stream.name))
        except BucketProblem:
            raise
        except (ObjectMissing, StorageError):
            # Another version of the bundle may be whole.
            return {}
