"""The bucket behind the S3 protocol, and the only import of boto3.

Credentials come from a file that only its owner may read, or from the usual AWS chain; neither the credentials nor
what a server echoes of them get into a message.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from archiver.errors import ConfigError
from archiver.replica.bucket import (
    Bucket,
    BucketProblem,
    ObjectInfo,
    ObjectMissing,
    ObjectVersion,
    RequestForbidden,
)
from archiver.replica.bucket_settings import BucketSettings, read_credentials
from archiver.replica.s3_errors import CUT, UNLOCKED, bucket_problem, narrowed_errors
from archiver.replica.throttle import Throttle, ThrottledFile

#: Larger objects go in parts: one request is retried as a whole, and S3 takes at most 5 GiB in one.
_MULTIPART_FROM_BYTES = 32 << 20
#: S3 takes 10,000 parts, so 156 GiB fit into parts of this size. Each thread holds one part in memory.
_PART_BYTES = 16 << 20
#: Bytes that a download yields at once, so also the size of a burst below a limit of bandwidth.
_READ_BYTES = 1 << 20
#: A server that says nothing for so long is taken for dead; a longer wait delays the end of the service.
_CONNECT_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS = 10, 60
#: With the pauses of boto3 some seconds of overload pass unseen; the daemon itself tries again later.
_MAX_ATTEMPTS = 4
#: Metadata of an object that carries its digest, since not every server returns checksums.
_DIGEST_METADATA = "archiver-sha256"
_COMPLIANCE_MODE = "COMPLIANCE"
#: The end of a lock may come back cut to a whole second.
_ROUNDING = timedelta(seconds=1)


class S3Bucket(Bucket):
    """A prefix of a bucket; safe to use from several threads."""

    def __init__(self, settings: BucketSettings) -> None:
        """Prepare a client; nothing is sent yet.

        Raises ConfigError if boto3 is not installed or the credentials file cannot be used.
        """
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigError(
                "The replica needs boto3, which is not installed. Nothing was changed and nothing was lost. "
                "Install it with: pip install 'archiver[s3]'"
            ) from None
        self._settings = settings
        self._throttle = Throttle(settings.bytes_per_second)
        credentials = read_credentials(settings.credentials_file) if settings.credentials_file else {}
        session = boto3.session.Session(**credentials)
        proxies = {"http": settings.proxy_url, "https": settings.proxy_url} if settings.proxy_url else None
        self._client = session.client(
            "s3",
            endpoint_url=settings.endpoint_url or None,
            region_name=settings.region_name or session.region_name or "us-east-1",
            verify=settings.ca_file or None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=_CONNECT_TIMEOUT_SECONDS,
                read_timeout=_READ_TIMEOUT_SECONDS,
                max_pool_connections=2 * settings.thread_count,
                retries={"mode": "standard", "max_attempts": _MAX_ATTEMPTS},
                proxies=proxies,
                # Digests are given and compared here: the client's own checksums fail on servers without them.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": settings.addressing_style, "payload_signing_enabled": False},
            ),
        )
        # The client parses the page of a login form or a proxy as a reply without content.
        self._client.meta.events.register("after-call.s3", _refuse_web_page)

    # --- the port

    def upload(self, key: str, source: Path, sha256: str, locked_until: datetime | None) -> str:
        """See :class:`Bucket`."""
        size = source.stat().st_size
        attributes: dict[str, Any] = {"Metadata": {_DIGEST_METADATA: sha256}}
        if locked_until:
            attributes |= {"ObjectLockMode": _COMPLIANCE_MODE, "ObjectLockRetainUntilDate": locked_until}
        with narrowed_errors(self._settings.url), open(source, "rb") as stream:
            if size < _MULTIPART_FROM_BYTES:
                reply = self._client.put_object(
                    **self._address(key),
                    Body=ThrottledFile(stream, self._throttle),
                    ContentLength=size,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode("ascii"),
                    **attributes,
                )
            else:
                reply = self._upload_parts(key, stream, attributes)
        version_id = str(reply.get("VersionId", "null"))
        if locked_until and size >= _MULTIPART_FROM_BYTES:
            self._ensure_locked(key, version_id, locked_until)
        return version_id

    def _upload_parts(self, key: str, stream: IO[bytes], attributes: dict[str, Any]) -> dict[str, Any]:
        """Upload a large file as a multipart upload, with a single part in memory.

        On any failure the upload is aborted: its parts would be paid for, and no listing shows them.
        """
        upload_id = self._client.create_multipart_upload(**self._address(key), **attributes)["UploadId"]
        upload = {**self._address(key), "UploadId": upload_id}
        try:
            parts: list[dict[str, Any]] = []
            while data := self._throttle.read_from(stream, _PART_BYTES):
                part_number = len(parts) + 1
                reply = self._client.upload_part(**upload, PartNumber=part_number, Body=data)
                parts.append({"PartNumber": part_number, "ETag": reply["ETag"]})
            completed: dict[str, Any] = self._client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            # The first failure is what people have to read, not that the abort failed too.
            with suppress(Exception):
                self._client.abort_multipart_upload(**upload)
            raise
        return completed

    def _ensure_locked(self, key: str, version_id: str, locked_until: datetime) -> None:
        """Lock an object uploaded in parts, and read the lock back: some servers ignore the first one.

        Raises BucketProblem if the lock does not hold.
        """
        self.extend_lock(key, version_id, locked_until)
        info = self.object_info(key, version_id)
        if info is None or info.locked_until is None or info.locked_until < locked_until - _ROUNDING:
            raise bucket_problem(self._settings.url, UNLOCKED)

    def extend_lock(self, key: str, version_id: str, locked_until: datetime) -> None:
        """See :class:`Bucket`."""
        with narrowed_errors(self._settings.url):
            self._set_retention(key, version_id, _COMPLIANCE_MODE, locked_until)

    def _set_retention(self, key: str, version_id: str, mode: str, locked_until: datetime) -> None:
        retention = {"Mode": mode, "RetainUntilDate": locked_until}
        self._client.put_object_retention(**self._address(key), VersionId=version_id, Retention=retention)

    def set_legal_hold(self, key: str, version_id: str, *, on: bool) -> None:
        """See :class:`Bucket`."""
        legal_hold = {"Status": "ON" if on else "OFF"}
        with narrowed_errors(self._settings.url):
            self._client.put_object_legal_hold(**self._address(key), VersionId=version_id, LegalHold=legal_hold)

    def object_info(self, key: str, version_id: str) -> ObjectInfo | None:
        """See :class:`Bucket`."""
        try:
            with narrowed_errors(self._settings.url):
                reply = self._client.head_object(**self._address(key), VersionId=version_id)
                is_locked = reply.get("ObjectLockMode") == _COMPLIANCE_MODE
                locked_until = reply.get("ObjectLockRetainUntilDate") if is_locked else None
                return ObjectInfo(
                    version_id,
                    int(reply["ContentLength"]),
                    str(reply.get("Metadata", {}).get(_DIGEST_METADATA, "")),
                    locked_until.astimezone(UTC) if locked_until else None,
                    reply.get("ObjectLockLegalHoldStatus") == "ON",
                )
        except ObjectMissing:  # an answer, not a failure
            return None

    def download(self, key: str, version_id: str) -> Iterator[bytes]:
        """See :class:`Bucket`."""
        with narrowed_errors(self._settings.url):
            reply = self._client.get_object(**self._address(key), VersionId=version_id)
            expected_size, received_size = int(reply["ContentLength"]), 0
            with reply["Body"] as body:
                while data := body.read(_READ_BYTES):
                    received_size += len(data)
                    self._throttle.wait_for(len(data))
                    yield data
            if received_size != expected_size:
                raise bucket_problem(self._settings.url, CUT)

    def list_versions(self, prefix: str, after: str = "") -> Iterator[ObjectVersion]:
        """See :class:`Bucket`."""
        prefix_length = len(self._settings.prefix)
        arguments: dict[str, Any] = {
            "Bucket": self._settings.bucket_name,
            "Prefix": self._settings.prefix + prefix,
        }
        if after:
            arguments["KeyMarker"] = self._settings.prefix + after
        while True:
            with narrowed_errors(self._settings.url):
                page = self._client.list_object_versions(**arguments)
                versions = _versions_of_page(page, prefix_length)
                is_last_page = not page.get("IsTruncated")
                if not is_last_page:
                    arguments["KeyMarker"] = page["NextKeyMarker"]
                    if "NextVersionIdMarker" in page:
                        arguments["VersionIdMarker"] = page["NextVersionIdMarker"]
            yield from versions
            if is_last_page:
                return

    def delete_version(self, key: str, version_id: str) -> None:
        """See :class:`Bucket`."""
        with narrowed_errors(self._settings.url, may_be_forbidden=True):
            self._client.delete_object(**self._address(key), VersionId=version_id)

    def is_versioned(self) -> bool:
        """See :class:`Bucket`."""
        with narrowed_errors(self._settings.url):
            reply = self._client.get_bucket_versioning(Bucket=self._settings.bucket_name)
            return bool(reply.get("Status") == "Enabled")

    def has_object_lock(self) -> bool:
        """See :class:`Bucket`."""
        try:
            with narrowed_errors(self._settings.url, may_be_forbidden=True):
                reply = self._client.get_object_lock_configuration(Bucket=self._settings.bucket_name)
                return bool(reply.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")
        except (RequestForbidden, BucketProblem):
            # Servers answer this question for a bucket without a lock with various errors.
            return False

    def try_to_break_lock(self, key: str, version_id: str, locked_until: datetime) -> dict[str, bool]:
        """See :class:`Bucket`."""
        client, bucket_name = self._client, self._settings.bucket_name
        version = {**self._address(key), "VersionId": version_id}
        earlier_end = locked_until - timedelta(seconds=30)
        attacks: dict[str, Callable[[], object]] = {
            "delete": lambda: client.delete_object(**version),
            "bypass": lambda: client.delete_object(**version, BypassGovernanceRetention=True),
            "shorten": lambda: self._set_retention(key, version_id, _COMPLIANCE_MODE, earlier_end),
            "clear": lambda: client.put_object_retention(**version, Retention={}),
            "govern": lambda: self._set_retention(key, version_id, "GOVERNANCE", locked_until),
            "suspend": lambda: client.put_bucket_versioning(
                Bucket=bucket_name, VersioningConfiguration={"Status": "Suspended"}
            ),
        }
        is_kept = {}
        for promise, attack in attacks.items():
            is_kept[promise] = self._is_forbidden(attack)
            if promise == "suspend" and not is_kept[promise]:
                # The bucket must be left as it was.
                with narrowed_errors(self._settings.url):
                    client.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
        return is_kept

    def _is_forbidden(self, request: Callable[[], object]) -> bool:
        try:
            with narrowed_errors(self._settings.url, may_be_forbidden=True):
                request()
        except RequestForbidden:  # the bucket kept its promise
            return True
        return False

    def stop_transfers(self) -> None:
        """See :class:`Bucket`."""
        self._throttle.stop()

    # --- inside

    def _address(self, key: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket_name, "Key": self._settings.prefix + key}


def _versions_of_page(page: Mapping[str, Any], prefix_length: int) -> list[ObjectVersion]:
    """Return the versions and delete markers of a page by key, the oldest first.

    A server lists the newest first, and its times may be no finer than a second: the order of entries with equal
    times is turned around before they are sorted.
    """
    entries = [(entry, False) for entry in reversed(page.get("Versions", ()))]
    entries += [(entry, True) for entry in reversed(page.get("DeleteMarkers", ()))]
    versions = [
        ObjectVersion(
            entry["Key"][prefix_length:],
            entry["VersionId"],
            int(entry.get("Size", 0)),
            bool(entry["IsLatest"]),
            is_delete_marker,
            entry["LastModified"].astimezone(UTC),
        )
        for entry, is_delete_marker in entries
    ]
    return sorted(versions, key=lambda version: (version.key, version.modified_at))


def _refuse_web_page(http_response: Any, **_: Any) -> None:
    from botocore.parsers import ResponseParserError

    if "text/html" in http_response.headers.get("content-type", ""):
        raise ResponseParserError("a page")
