"""Find out how well the archive's content is protected against changes and deletion."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.path_existence import is_there
from archiver.replica.replica_status import ReplicaStatus
from archiver.store.archive import Archive
from archiver.store.git import hooks
from archiver.store.permissions import is_immutable

#: The size of the sample that shows whether content objects are immutable. Usually, all objects or none have the
#: flag, so a small sample is enough. With a check of a million objects, ``status`` would take minutes.
_SAMPLED_SUBMISSIONS = 5
_SAMPLED_OBJECTS = 100
#: Level of protection, as in the JSON output -> the sentence for people.
PROTECTION: Mapping[str, LazyMessage] = {
    "permissions": LazyMessage.define(
        "file permissions (the archive owner can still delete files)",
        code="protection.permissions",
    ),
    "immutable": LazyMessage.define(
        "immutable flag (files cannot be changed or deleted until root clears the flag)",
        code="protection.immutable",
    ),
    "off-site lock": LazyMessage.define(
        "Object Lock (nobody can delete replicated objects before their retention date)",
        code="protection.off-site-lock",
    ),
    "detect-only": LazyMessage.define(
        "detection only (a hook or setting is missing or altered); to verify the archive, run: archiver verify",
        code="protection.detect-only",
    ),
}
# The keys, in the order of the table.
_PERMISSIONS, _IMMUTABLE, _OFF_SITE_LOCK, DETECT_ONLY = PROTECTION


def assess_protection_level(archive: Archive, replica: ReplicaStatus | None) -> str:
    """Return the key of :data:`PROTECTION` for the strongest protection that is in force.

    ``replica`` is None for an archive without a replica. The result is DETECT_ONLY, whatever else protects the
    content, if a git hook or setting is altered so that it no longer refuses deletions.
    """
    if any(deviation.weakens for deviation in hooks.deviations(archive.repository_path)):
        return DETECT_ONLY
    if replica is not None and replica.uses_object_lock and replica.synced_at:
        return _OFF_SITE_LOCK
    return _IMMUTABLE if _are_sampled_objects_immutable(archive) else _PERMISSIONS


def _are_sampled_objects_immutable(archive: Archive) -> bool:
    """Return True if every content object of a sample has the immutable flag; False if the sample is empty.

    Missing objects are left out: ``archiver verify`` reports them.
    """
    existing_paths = [path for path in _sample_object_paths(archive) if is_there(path)]
    return bool(existing_paths) and all(is_immutable(path) for path in existing_paths)


def _sample_object_paths(archive: Archive) -> list[Path]:
    """Return paths of content objects for a spot check; they may repeat, and objects may be missing.

    The sample has up to ``_SAMPLED_OBJECTS`` objects of the newest versions of ``_SAMPLED_SUBMISSIONS``
    submissions, then up to ``_SAMPLED_OBJECTS`` objects of the store, in the order of its folders.
    """
    submissions = archive.index.submissions()[:_SAMPLED_SUBMISSIONS]
    newest_digests = [
        material.sha256 for submission in submissions for material in archive.index.materials(submission)
    ]
    # A digest is None for an empty folder.
    sampled_paths = [archive.content.path(sha256) for sha256 in newest_digests[:_SAMPLED_OBJECTS] if sha256]
    stored_paths = (
        Path(folder, file_name)
        for folder, _, file_names in os.walk(archive.content.objects_folder)
        for file_name in file_names
    )
    return [*sampled_paths, *itertools.islice(stored_paths, _SAMPLED_OBJECTS)]
