"""Claiming a prefix of the bucket for an archive: two archives below the same prefix would mix their history."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from archiver.errors import UsageError
from archiver.replica.bucket import Bucket, ObjectVersion
from archiver.replica.known_objects import ReplicatedObject
from archiver.replica.object_names import IDENTITY_KEY

_FORMAT = 1
_LONGEST_OWNER = 40


def claim_prefix(bucket: Bucket, archive_id: str, locked_until: datetime | None) -> tuple[str, ReplicatedObject]:
    """Ensure that the prefix belongs to this archive, by an object with the name of the owner.

    The oldest version decides: anybody with access can add later ones. Without one, the object is uploaded, locked
    until ``locked_until``. Returns its key and what is known of it.

    Raises UsageError if the prefix is another archive's, BucketProblem if the bucket cannot be asked.
    """
    versions = [
        version
        for version in bucket.list_versions(IDENTITY_KEY)
        if version.key == IDENTITY_KEY and not version.is_delete_marker
    ]
    for version in sorted(versions, key=lambda version: version.modified_at):
        info = bucket.object_info(version.key, version.version_id)
        if info is None:
            continue
        owner = _read_owner(bucket, version)
        if owner != archive_id:
            raise UsageError(
                "This prefix belongs to another archive ({owner}). Nothing was changed. Choose a prefix of its "
                "own for this one.",
                owner=owner[:_LONGEST_OWNER],
            )
        claimed = ReplicatedObject(version.version_id, info.size, info.locked_until, info.has_legal_hold)
        return version.key, claimed
    return IDENTITY_KEY, _upload_claim(bucket, archive_id, locked_until)


def _upload_claim(bucket: Bucket, archive_id: str, locked_until: datetime | None) -> ReplicatedObject:
    data = json.dumps({"format": _FORMAT, "archive": archive_id}).encode("ascii")
    with TemporaryDirectory() as folder:
        claim_path = Path(folder) / IDENTITY_KEY
        claim_path.write_bytes(data)
        version_id = bucket.upload(IDENTITY_KEY, claim_path, hashlib.sha256(data).hexdigest(), locked_until)
    return ReplicatedObject(version_id, len(data), locked_until, has_legal_hold=False)


def _read_owner(bucket: Bucket, version: ObjectVersion) -> str:
    try:
        return str(json.loads(b"".join(bucket.download(version.key, version.version_id)))["archive"])
    except (ValueError, KeyError, TypeError):
        # Something else lies under our name: whoever wrote it, the prefix is not ours.
        return "?"
