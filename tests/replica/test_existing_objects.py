"""The claim of a prefix: whose it is, whatever lies in its place."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver.errors import UsageError
from archiver.replica.existing_objects import claim_prefix
from archiver.replica.object_names import CLAIM_KEY
from archiver.replica.s3 import S3Bucket
from tests.replica.server import Server

pytestmark = pytest.mark.needs("processes")


@pytest.fixture
def bucket(server: Server, bucket_of: Callable[[str], S3Bucket]) -> S3Bucket:
    """A bucket without object lock, in which a claim can be deleted."""
    return bucket_of(f"s3://{server.bucket(f'c{uuid.uuid4().hex[:20]}', lock=False)}/x")


def test_a_claim_that_vanishes_after_the_listing_decides_nothing(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_prefix(bucket, "another archive", None)

    def delete_and_download(key: str, version_id: str) -> Iterator[bytes]:
        bucket.delete_version(key, version_id)
        return S3Bucket.download(bucket, key, version_id)

    with monkeypatch.context() as patched:
        patched.setattr(bucket, "download", delete_and_download)
        _, claimed = claim_prefix(bucket, "our archive", None)
    assert claim_prefix(bucket, "our archive", None)[1].version_id == claimed.version_id


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        # Deeper than Python's parser goes, which is no ValueError.
        pytest.param(b"[" * 1024, id="nested"),
        pytest.param(b"\xff", id="not UTF-8"),
    ],
)
def test_an_object_that_is_no_claim_belongs_to_somebody_else(
    bucket: S3Bucket, tmp_path: Path, data: bytes
) -> None:
    upload_in_place_of_claim(bucket, tmp_path, data)
    with pytest.raises(UsageError, match=r"belongs to another archive \(\?\)"):
        claim_prefix(bucket, "our archive", None)


def test_an_object_larger_than_any_claim_is_not_downloaded(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_in_place_of_claim(bucket, tmp_path, bytes(1025))
    monkeypatch.setattr(bucket, "download", lambda *_: pytest.fail("it was downloaded"))
    with pytest.raises(UsageError, match=r"belongs to another archive \(\?\)"):
        claim_prefix(bucket, "our archive", None)


def upload_in_place_of_claim(bucket: S3Bucket, folder: Path, data: bytes) -> None:
    path = folder / "in place of the claim"
    path.write_bytes(data)
    bucket.upload(CLAIM_KEY, path, hashlib.sha256(data).hexdigest(), None)
