"""Rebuilding ``archive.git`` from the bundles in the bucket."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from archiver.errors import NotFoundError, StorageError
from archiver.replica.bucket import Bucket, BucketProblem, ObjectMissing, ObjectVersion
from archiver.replica.object_names import HISTORY_PREFIX, EventSpan, parse_bundle_key
from archiver.store import permissions
from archiver.store.creation import new_archive
from archiver.store.creation.filesystem_abilities import check_filesystem
from archiver.store.git.repository import JOURNAL, Repository

#: The name of the repository while it is built. It becomes ``archive.git`` only when it is complete.
_UNFINISHED_NAME = "archive.git.incomplete"


class _BundleVersion(NamedTuple):
    """A version of a git bundle in the bucket."""

    #: The events in the bundle, according to the object's key.
    span: EventSpan
    version: ObjectVersion


class _FetchedBundle(NamedTuple):
    """A git bundle whose objects were added to the repository."""

    span: EventSpan
    #: Full name of each ref in the bundle -> the object id of the ref there.
    refs: dict[str, str]


def rebuild_history(bucket: Bucket, root: Path) -> None:
    """Create ``archive.git`` below ``root`` from the bundles in the bucket, complete or not at all.

    ``root`` and missing folders above it are created. The repository is built under another name and renamed at
    the end. If the process is killed before the end, the next attempt removes the unfinished repository.

    Raises NotFoundError if the bucket has no history, StorageError if the history is damaged or the filesystem is
    not suitable for an archive, BucketProblem if the bucket fails, and OSError if nothing can be written to the
    disk. The folders that this call created are removed then.
    """
    new_folders = new_archive.missing_folders(root)
    root.mkdir(parents=True, exist_ok=True)
    unfinished_path = root / _UNFINISHED_NAME
    try:
        shutil.rmtree(unfinished_path, ignore_errors=True)
        check_filesystem(unfinished_path, root)
        permissions.restrict_to_owner(root)
        repository = Repository.create_without_hooks(unfinished_path)
        try:
            repository.set_refs(_fetch_all_bundles(bucket, repository, root))
            repository.install_hooks()
        finally:
            repository.close()
        # Crash window: the rename is the last step, so an existing archive.git is always complete.
        os.rename(unfinished_path, root / "archive.git")
    except BaseException:  # a keyboard interrupt, too
        shutil.rmtree(unfinished_path, ignore_errors=True)
        new_archive.remove_folders(new_folders)
        raise


def _fetch_all_bundles(bucket: Bucket, repository: Repository, root: Path) -> dict[str, str]:
    """Fetch the objects of all bundles into the repository, in the order of their events, and return all refs.

    Returns the object id of each ref. If several bundles contain a ref, the last of these bundles decides. A
    bundle is fetched only if it begins with the event after the last fetched one, so a gap ends the history.

    Raises NotFoundError if no bundle begins with the first event, StorageError if all bundles that begin with an
    event are damaged, and BucketProblem if the bucket fails. The objects fetched by then stay in the repository.
    """
    candidates_by_first_seq = _list_bundles(bucket)
    refs: dict[str, str] = {}
    last_seq, head_commit = 0, ""
    while candidates := candidates_by_first_seq.pop(last_seq + 1, None):
        fetched_bundle = _fetch_next_bundle(bucket, repository, root, candidates, head_commit)
        refs |= fetched_bundle.refs
        last_seq, head_commit = fetched_bundle.span.last_seq, fetched_bundle.span.head_commit
    if not refs:
        raise NotFoundError(
            "The bucket contains no archive history. Nothing was changed. Check the prefix in --url."
        )
    return refs


def _fetch_next_bundle(
    bucket: Bucket, repository: Repository, root: Path, candidates: list[_BundleVersion], head_commit: str
) -> _FetchedBundle:
    """Fetch the bundle among ``candidates`` that continues the journal after the commit ``head_commit``.

    All candidates begin with the same event. The oldest candidate is tried first, since anybody with access to the
    bucket can add later ones. ``head_commit`` is empty if nothing was fetched yet.

    Raises StorageError if every candidate is damaged or continues another journal, BucketProblem if the bucket
    fails.
    """
    for span, version in sorted(candidates, key=lambda candidate: candidate.version.modified_at):
        bundled_refs = _fetch_if_undamaged(bucket, repository, root, version)
        continues_journal = bundled_refs.get(JOURNAL) == span.head_commit and (
            not head_commit or repository.is_ancestor(head_commit, span.head_commit)
        )
        if continues_journal:
            return _FetchedBundle(span, bundled_refs)
    raise StorageError(
        "The history from journal event {first} on is damaged in the bucket. Nothing was changed. Try the other "
        "versions of {key} in the bucket.",
        first=candidates[0].span.first_seq,
        key=candidates[0].version.key,
    )


def _list_bundles(bucket: Bucket) -> dict[int, list[_BundleVersion]]:
    """Return all versions of all bundles, by the number of the first event in the bundle.

    Delete markers and objects that are not bundles are ignored. Raises BucketProblem if the bucket fails.
    """
    bundles_by_first_seq: dict[int, list[_BundleVersion]] = defaultdict(list)
    for version in bucket.list_versions(HISTORY_PREFIX):
        span = parse_bundle_key(version.key)
        if span is not None and not version.is_delete_marker:
            bundles_by_first_seq[span.first_seq].append(_BundleVersion(span, version))
    return bundles_by_first_seq


def _fetch_if_undamaged(
    bucket: Bucket, repository: Repository, root: Path, version: ObjectVersion
) -> dict[str, str]:
    """Download a bundle, and add the objects in the bundle to the repository.

    Returns the object ids of the bundle's refs, by ref, or an empty dict if the bundle is damaged. The download is
    a temporary file in ``root``, which is deleted.

    Raises BucketProblem if the bucket fails. A failing bucket is not treated as damage, because the other versions
    of the bundle could not be downloaded either.
    """
    with NamedTemporaryFile(dir=root, prefix="tmp-bundle-") as bundle_file:
        try:
            for chunk in bucket.download(version.key, version.version_id):
                bundle_file.write(chunk)
            bundle_file.flush()
            return repository.add_bundle(Path(bundle_file.name))
        except BucketProblem:  # a subclass of StorageError, but not a sign of damage
            raise
        except (ObjectMissing, StorageError):
            # The bundle is damaged, or was deleted since it was listed. Another version may be undamaged.
            return {}
