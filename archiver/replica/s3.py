"""Implements the bucket port with the S3 protocol. No other module imports boto3.

Credentials come from a file that only its owner may read, or from the usual AWS chain. No message quotes the
credentials, or a reply of the server, which may repeat them.
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
from archiver.replica.s3_errors import CONNECTION_CUT, LOCK_IGNORED, bucket_problem, convert_client_errors
from archiver.replica.throttle import Throttle, ThrottledFile

#: Objects of this size and larger are uploaded in parts. After a failure the client repeats a whole request, and
#: S3 accepts at most 5 GiB in one request.
_MULTIPART_FROM_BYTES = 32 << 20
#: S3 accepts 10,000 parts, so 156 GiB fit into parts of this size. Each thread holds one part in memory.
_PART_BYTES = 16 << 20
#: Bytes that a download yields at once. If the bandwidth is limited, this is the size of a burst.
_READ_BYTES = 1 << 20
#: A server that does not connect or answer within this time is considered dead. A longer wait would delay the end
#: of the service.
_CONNECT_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS = 10, 60
#: boto3 pauses between attempts. With this many, a request survives an overload of some seconds. In a longer
#: overload the request fails, and the daemon syncs again later.
_MAX_ATTEMPTS = 4
#: The key of the object's metadata that holds the digest, since not every server returns checksums.
_DIGEST_METADATA = "archiver-sha256"
#: The mode of a lock that nobody can lift or shorten.
_COMPLIANCE_MODE = "COMPLIANCE"
#: S3's mode of a lock that users with a special permission can lift.
_GOVERNANCE_MODE = "GOVERNANCE"
#: S3's version id of an object in a bucket that keeps no versions.
_UNVERSIONED_ID = "null"
#: A server may report the end of a lock cut to whole seconds.
_ROUNDING = timedelta(seconds=1)
#: How much the test of a lock tries to shorten the lock: more than any rounding, and far less than the duration of
#: the probe's lock.
_SHORTENING = timedelta(seconds=30)


class S3Bucket(Bucket):
    """A prefix of a bucket on an S3 server. Safe to use from several threads."""

    def __init__(self, settings: BucketSettings) -> None:
        """Prepare an S3 client. Nothing is sent yet, and the caller has nothing to close.

        Raises ConfigError if boto3 is not installed or the credentials file cannot be used.
        """
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigError(
                "The replica requires boto3, which is not installed. Nothing was changed. To install it, run: "
                "pip install 'archiver[s3]'"
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
                # This class sends and compares digests itself, because some servers do not support the checksums
                # of the client.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": settings.addressing_style, "payload_signing_enabled": False},
            ),
        )
        # Without this check, the client accepts a web page, such as a login form, as a reply without content.
        self._client.meta.events.register("after-call.s3", _refuse_web_page)

    # --- the port

    def upload(self, key: str, source: Path, sha256: str, locked_until: datetime | None) -> str:
        """Implement :meth:`Bucket.upload`. A large file is sent in parts, of which one is in memory at a time."""
        size = source.stat().st_size
        # Arguments that a request to create an object has in addition, for an upload at once or in parts.
        creation_arguments: dict[str, Any] = {"Metadata": {_DIGEST_METADATA: sha256}}
        if locked_until:
            creation_arguments |= {"ObjectLockMode": _COMPLIANCE_MODE, "ObjectLockRetainUntilDate": locked_until}
        with convert_client_errors(self._settings.url), open(source, "rb") as stream:
            if size < _MULTIPART_FROM_BYTES:
                reply = self._client.put_object(
                    **self._object_arguments(key),
                    Body=ThrottledFile(stream, self._throttle),
                    ContentLength=size,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode("ascii"),
                    **creation_arguments,
                )
            else:
                reply = self._upload_parts(key, stream, creation_arguments)
        version_id = str(reply.get("VersionId", _UNVERSIONED_ID))
        if locked_until and size >= _MULTIPART_FROM_BYTES:
            self._ensure_locked(key, version_id, locked_until)
        return version_id

    def _upload_parts(self, key: str, stream: IO[bytes], creation_arguments: dict[str, Any]) -> dict[str, Any]:
        """Upload a large file in parts, one after the other, with a single part in memory.

        ``creation_arguments`` are additional arguments of the request that begins the upload. Returns the server's
        reply to the request that completes the upload.

        Raises the errors of the client, after aborting the upload. Without the abort, the parts would stay in the
        bucket, where the provider charges for them although no listing shows them.
        """
        object_arguments = self._object_arguments(key)
        upload_id = self._client.create_multipart_upload(**object_arguments, **creation_arguments)["UploadId"]
        upload_arguments = {**object_arguments, "UploadId": upload_id}
        try:
            sent_parts: list[dict[str, Any]] = []
            while part_bytes := self._throttle.read_from(stream, _PART_BYTES):
                part_number = len(sent_parts) + 1
                reply = self._client.upload_part(**upload_arguments, PartNumber=part_number, Body=part_bytes)
                sent_parts.append({"PartNumber": part_number, "ETag": reply["ETag"]})
            final_reply: dict[str, Any] = self._client.complete_multipart_upload(
                **upload_arguments, MultipartUpload={"Parts": sent_parts}
            )
        except BaseException:
            # If the abort fails too, the first failure is still the one to report.
            with suppress(Exception):
                self._client.abort_multipart_upload(**upload_arguments)
            raise
        return final_reply

    def _ensure_locked(self, key: str, version_id: str, locked_until: datetime) -> None:
        """Lock an object that was uploaded in parts, then read the lock and check the end.

        This is necessary because some servers ignore the lock in the request that begins an upload in parts.

        Raises BucketProblem if the object is still not locked through ``locked_until``.
        """
        self.extend_lock(key, version_id, locked_until)
        info = self.object_info(key, version_id)
        if info is None or info.locked_until is None or info.locked_until < locked_until - _ROUNDING:
            raise bucket_problem(self._settings.url, LOCK_IGNORED)

    def extend_lock(self, key: str, version_id: str, locked_until: datetime) -> None:
        """Implement :meth:`Bucket.extend_lock`."""
        with convert_client_errors(self._settings.url):
            self._request_retention(key, version_id, _COMPLIANCE_MODE, locked_until)

    def _request_retention(self, key: str, version_id: str, mode: str, locked_until: datetime) -> None:
        """Request a lock through ``locked_until`` in the S3 mode ``mode``. Raises the errors of the client."""
        retention = {"Mode": mode, "RetainUntilDate": locked_until}
        self._client.put_object_retention(**self._object_arguments(key), VersionId=version_id, Retention=retention)

    def set_legal_hold(self, key: str, version_id: str, *, is_held: bool) -> None:
        """Implement :meth:`Bucket.set_legal_hold`."""
        legal_hold = {"Status": "ON" if is_held else "OFF"}
        with convert_client_errors(self._settings.url):
            self._client.put_object_legal_hold(
                **self._object_arguments(key), VersionId=version_id, LegalHold=legal_hold
            )

    def object_info(self, key: str, version_id: str) -> ObjectInfo | None:
        """Implement :meth:`Bucket.object_info`. Only a lock in compliance mode counts."""
        try:
            with convert_client_errors(self._settings.url):
                reply = self._client.head_object(**self._object_arguments(key), VersionId=version_id)
                is_locked = reply.get("ObjectLockMode") == _COMPLIANCE_MODE
                locked_until = reply.get("ObjectLockRetainUntilDate") if is_locked else None
                return ObjectInfo(
                    version_id=version_id,
                    size=int(reply["ContentLength"]),
                    sha256=str(reply.get("Metadata", {}).get(_DIGEST_METADATA, "")),
                    locked_until=locked_until.astimezone(UTC) if locked_until else None,
                    has_legal_hold=reply.get("ObjectLockLegalHoldStatus") == "ON",
                )
        except ObjectMissing:  # not a failure: this method returns None then
            return None

    def download(self, key: str, version_id: str) -> Iterator[bytes]:
        """Implement :meth:`Bucket.download`. The speed is limited by the throttle."""
        with convert_client_errors(self._settings.url):
            reply = self._client.get_object(**self._object_arguments(key), VersionId=version_id)
            expected_size, received_size = int(reply["ContentLength"]), 0
            with reply["Body"] as body:
                while chunk := body.read(_READ_BYTES):
                    received_size += len(chunk)
                    self._throttle.wait_for_bandwidth(len(chunk))
                    yield chunk
            if received_size != expected_size:
                raise bucket_problem(self._settings.url, CONNECTION_CUT)

    def list_versions(self, prefix: str, after_key: str = "") -> Iterator[ObjectVersion]:
        """Implement :meth:`Bucket.list_versions`. One page of the listing is in memory at a time."""
        prefix_length = len(self._settings.prefix)
        listing_arguments: dict[str, Any] = {
            "Bucket": self._settings.bucket_name,
            "Prefix": self._settings.prefix + prefix,
        }
        if after_key:
            listing_arguments["KeyMarker"] = self._settings.prefix + after_key
        while True:
            with convert_client_errors(self._settings.url):
                page = self._client.list_object_versions(**listing_arguments)
                versions = _parse_listing_page(page, prefix_length)
                is_last_page = not page.get("IsTruncated")
                if not is_last_page:
                    listing_arguments["KeyMarker"] = page["NextKeyMarker"]
                    if "NextVersionIdMarker" in page:
                        listing_arguments["VersionIdMarker"] = page["NextVersionIdMarker"]
            yield from versions
            if is_last_page:
                return

    def delete_version(self, key: str, version_id: str) -> None:
        """Implement :meth:`Bucket.delete_version`."""
        with convert_client_errors(self._settings.url, may_be_forbidden=True):
            self._client.delete_object(**self._object_arguments(key), VersionId=version_id)

    def is_versioned(self) -> bool:
        """Implement :meth:`Bucket.is_versioned`."""
        with convert_client_errors(self._settings.url):
            reply = self._client.get_bucket_versioning(Bucket=self._settings.bucket_name)
            return bool(reply.get("Status") == "Enabled")

    def has_object_lock(self) -> bool:
        """Implement :meth:`Bucket.has_object_lock`."""
        try:
            with convert_client_errors(self._settings.url, may_be_forbidden=True):
                reply = self._client.get_object_lock_configuration(Bucket=self._settings.bucket_name)
                return bool(reply.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")
        except (RequestForbidden, BucketProblem):
            # For a bucket without object lock, servers answer this request with various errors.
            return False

    def try_to_break_lock(self, key: str, version_id: str, locked_until: datetime) -> dict[str, bool]:
        """Implement :meth:`Bucket.try_to_break_lock`."""
        client, bucket_name = self._client, self._settings.bucket_name
        version_arguments = {**self._object_arguments(key), "VersionId": version_id}
        earlier_end = locked_until - _SHORTENING
        # Promise (a key of lock_probe.PROMISES) -> a request that a bucket must refuse to keep the promise.
        attack_by_promise: dict[str, Callable[[], object]] = {
            "delete": lambda: client.delete_object(**version_arguments),
            "bypass": lambda: client.delete_object(**version_arguments, BypassGovernanceRetention=True),
            "shorten": lambda: self._request_retention(key, version_id, _COMPLIANCE_MODE, earlier_end),
            "clear": lambda: client.put_object_retention(**version_arguments, Retention={}),
            "govern": lambda: self._request_retention(key, version_id, _GOVERNANCE_MODE, locked_until),
            "suspend": lambda: client.put_bucket_versioning(
                Bucket=bucket_name, VersioningConfiguration={"Status": "Suspended"}
            ),
        }
        is_kept_by_promise = {}
        for promise, attack in attack_by_promise.items():
            is_kept_by_promise[promise] = self._is_request_refused(attack)
            if promise == "suspend" and not is_kept_by_promise[promise]:
                # The attack suspended versioning for the whole bucket, so enable versioning again.
                with convert_client_errors(self._settings.url):
                    client.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
        return is_kept_by_promise

    def _is_request_refused(self, send_request: Callable[[], object]) -> bool:
        """Call ``send_request``. Return True if the bucket refuses the request, or False if the request succeeds.

        Raises BucketProblem for any other failure.
        """
        try:
            with convert_client_errors(self._settings.url, may_be_forbidden=True):
                send_request()
        except RequestForbidden:  # The bucket kept its promise.
            return True
        return False

    def stop_transfers(self) -> None:
        """Implement :meth:`Bucket.stop_transfers`."""
        self._throttle.stop()

    # --- requests

    def _object_arguments(self, key: str) -> dict[str, str]:
        """Return the arguments of a request that name the bucket and the object."""
        return {"Bucket": self._settings.bucket_name, "Key": self._settings.prefix + key}


def _parse_listing_page(page: Mapping[str, Any], prefix_length: int) -> list[ObjectVersion]:
    """Parse a page of a listing; return the entries sorted by key, and from old to new for the same key.

    ``prefix_length`` is the number of characters to remove from the beginning of each key.

    Raises LookupError or ValueError if the page lacks a member or has it in another form.
    """
    # A server lists the newest version of a key first, and may report only whole seconds. Reversing the entries
    # puts those with equal times into the right order, which sorting preserves.
    versions = [
        _parse_listing_entry(entry, prefix_length, is_delete_marker=False)
        for entry in reversed(page.get("Versions", ()))
    ]
    versions += [
        _parse_listing_entry(entry, prefix_length, is_delete_marker=True)
        for entry in reversed(page.get("DeleteMarkers", ()))
    ]
    return sorted(versions, key=lambda version: (version.key, version.modified_at))


def _parse_listing_entry(entry: Mapping[str, Any], prefix_length: int, *, is_delete_marker: bool) -> ObjectVersion:
    """Parse an entry of a listing page. ``prefix_length`` characters are removed from the key."""
    return ObjectVersion(
        key=entry["Key"][prefix_length:],
        version_id=entry["VersionId"],
        size=int(entry.get("Size", 0)),  # a delete marker has none
        is_newest=bool(entry["IsLatest"]),
        is_delete_marker=is_delete_marker,
        modified_at=entry["LastModified"].astimezone(UTC),
    )


def _refuse_web_page(http_response: Any, **_: Any) -> None:
    """Raise ResponseParserError if a reply is a web page. The S3 client calls this function after each request."""
    from botocore.parsers import ResponseParserError

    if "text/html" in http_response.headers.get("content-type", ""):
        raise ResponseParserError("a page")
