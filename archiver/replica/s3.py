"""The bucket behind the S3 protocol; the only module that imports boto3.

Credentials come from a file of the owner's alone (0600) or from the usual AWS chain; neither they
nor what a server echoes of them ever get into a message.
"""

from __future__ import annotations

import base64
import configparser
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from archiver.errors import ConfigProblem, Phrase
from archiver.replica.bucket import Bucket, BucketProblem, Listed, Refused, Stored
from archiver.replica.bucket_settings import Settings
from archiver.replica.throttle import Throttle

_MULTIPART_FROM = 32 << 20
_PART_BYTES = 16 << 20
_READ_BYTES = 1 << 20
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_ATTEMPTS = 4
_SHA256 = "archiver-sha256"
_MODE = "COMPLIANCE"

#: What a server's error code means, as a reason in a sentence.
_REASONS: Mapping[str, str] = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "AccessDenied": "this key may not do that",
    "NoSuchBucket": "there is no such bucket",
    "RequestTimeTooSkewed": "the clocks of this server and of the bucket differ too much",
    "SlowDown": "the bucket is overloaded",
    "ServiceUnavailable": "the bucket is overloaded",
    "503": "the bucket is overloaded",
    "403": "this key may not do that",
    "404": "there is no such bucket",
}
NO_CREDENTIALS = "there are no credentials for it"
UNREACHABLE = "it cannot be reached"
UNTRUSTED = "its certificate is not trusted here (see replica.ca)"
NO_S3 = "what answers there does not speak S3"
OTHER = "it answered {code}"
CUT = "the connection ended in the middle of an object"
UNLOCKED = "it took an object and did not lock it"
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "405"})
#: How servers say no; Ceph calls the empty retention that would clear a lock malformed.
_FORBIDDEN = frozenset(
    {"AccessDenied", "InvalidRequest", "InvalidBucketState", "MalformedXML", "ObjectLocked", "403", "400", "409"}
)


class S3Bucket(Bucket):
    """One prefix of one bucket; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigProblem where boto3 or the credentials file is missing."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigProblem(
                "The replica needs boto3, which is not installed. Nothing was changed and nothing was lost. "
                "Install it with: pip install 'archiver[s3]'"
            ) from None
        self._settings = settings
        self._throttle = Throttle(settings.bandwidth)
        session = boto3.session.Session(**_credentials(settings.credentials))
        self._client = session.client(
            "s3",
            endpoint_url=settings.endpoint or None,
            region_name=settings.region or session.region_name or "us-east-1",
            verify=settings.ca or None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                max_pool_connections=2 * settings.parallel,
                retries={"mode": "standard", "max_attempts": _ATTEMPTS},
                proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
                # We give the digest of each object ourselves, and check what comes back.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": settings.style, "payload_signing_enabled": False},
            ),
        )

        # A login page or a proxy's excuse parses as an answer without content.
        self._client.meta.events.register("after-call.s3", _refuse_pages)

    # --- the port

    def put(self, key: str, source: Path, sha256: str, until: datetime | None) -> str:
        """See :class:`Bucket`."""
        size = source.stat().st_size
        lock = {"ObjectLockMode": _MODE, "ObjectLockRetainUntilDate": until} if until else {}
        metadata = {_SHA256: sha256}
        with self._problems(), open(source, "rb") as stream:
            if size < _MULTIPART_FROM:
                answer = self._client.put_object(
                    **self._at(key),
                    Body=self._throttle.reading(stream),
                    ContentLength=size,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode("ascii"),
                    Metadata=metadata,
                    **lock,
                )
            else:
                answer = self._put_parts(key, stream, {"Metadata": metadata, **lock})
        version = str(answer.get("VersionId", "null"))
        if until and size >= _MULTIPART_FROM:
            # Some servers forget the lock of an object that comes in parts.
            self.lock(key, version, until)
            stored = self.head(key, version)
            if stored is None or stored.locked_until is None or stored.locked_until < until - timedelta(seconds=1):
                raise self._problem(UNLOCKED)
        return version

    def _put_parts(self, key: str, stream: IO[bytes], arguments: dict[str, Any]) -> dict[str, Any]:
        upload = self._client.create_multipart_upload(**self._at(key), **arguments)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            while data := self._throttle.read(stream, _PART_BYTES):
                number = len(parts) + 1
                sent = self._client.upload_part(**self._at(key), UploadId=upload, PartNumber=number, Body=data)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            done: dict[str, Any] = self._client.complete_multipart_upload(
                **self._at(key), UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            # What is left of it would be paid for, and never seen.
            with suppress(Exception):
                self._client.abort_multipart_upload(**self._at(key), UploadId=upload)
            raise
        return done

    def lock(self, key: str, version: str, until: datetime) -> None:
        """See :class:`Bucket`."""
        with self._problems():
            self._retain(key, version, _MODE, until)

    def _retain(self, key: str, version: str, mode: str, until: datetime) -> None:
        retention = {"Mode": mode, "RetainUntilDate": until}
        self._client.put_object_retention(**self._at(key), VersionId=version, Retention=retention)

    def hold(self, key: str, version: str, *, on: bool) -> None:
        """See :class:`Bucket`."""
        with self._problems():
            self._client.put_object_legal_hold(
                **self._at(key), VersionId=version, LegalHold={"Status": "ON" if on else "OFF"}
            )

    def head(self, key: str, version: str) -> Stored | None:
        """See :class:`Bucket`."""
        try:
            with self._problems():
                found = self._client.head_object(**self._at(key), VersionId=version)
        except KeyError:
            return None
        locked = found.get("ObjectLockRetainUntilDate") if found.get("ObjectLockMode") == _MODE else None
        return Stored(
            version,
            int(found["ContentLength"]),
            str(found.get("Metadata", {}).get(_SHA256, "")),
            locked.astimezone(UTC) if locked else None,
            found.get("ObjectLockLegalHoldStatus") == "ON",
        )

    def get(self, key: str, version: str) -> Iterator[bytes]:
        """See :class:`Bucket`."""
        with self._problems():
            found = self._client.get_object(**self._at(key), VersionId=version)
            size, done = int(found["ContentLength"]), 0
            with found["Body"] as body:
                while data := body.read(_READ_BYTES):
                    done += len(data)
                    self._throttle.take(len(data))
                    yield data
            if done != size:
                raise self._problem(CUT)

    def versions(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """See :class:`Bucket`."""
        top = self._settings.prefix
        arguments: dict[str, Any] = {"Bucket": self._settings.bucket, "Prefix": top + prefix}
        if after:
            arguments["KeyMarker"] = top + after
        while True:
            with self._problems():
                page = self._client.list_object_versions(**arguments)
            # A server lists the newest first, and its times may be no finer than a second.
            found = [(each, False) for each in reversed(page.get("Versions", ()))]
            found += [(each, True) for each in reversed(page.get("DeleteMarkers", ()))]
            for each, is_marker in sorted(found, key=lambda pair: (pair[0]["Key"], pair[0]["LastModified"])):
                yield Listed(
                    each["Key"][len(top) :],
                    each["VersionId"],
                    int(each.get("Size", 0)),
                    bool(each["IsLatest"]),
                    is_marker,
                    each["LastModified"].astimezone(UTC),
                )
            if not page.get("IsTruncated"):
                return
            arguments["KeyMarker"] = page["NextKeyMarker"]
            if "NextVersionIdMarker" in page:
                arguments["VersionIdMarker"] = page["NextVersionIdMarker"]

    def delete(self, key: str, version: str) -> None:
        """See :class:`Bucket`."""
        with self._problems(refusable=True):
            self._client.delete_object(**self._at(key), VersionId=version)

    def is_versioned(self) -> bool:
        """See :class:`Bucket`."""
        with self._problems():
            return bool(
                self._client.get_bucket_versioning(Bucket=self._settings.bucket).get("Status") == "Enabled"
            )

    def has_object_lock(self) -> bool:
        """See :class:`Bucket`."""
        try:
            with self._problems(refusable=True):
                found = self._client.get_object_lock_configuration(Bucket=self._settings.bucket)
        except (Refused, KeyError, BucketProblem):
            return False
        return bool(found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")

    def attack(self, key: str, version: str, until: datetime) -> dict[str, bool]:
        """See :class:`Bucket`."""
        at, sooner = self._at(key), until - timedelta(seconds=30)
        client, bucket = self._client, self._settings.bucket
        attempts: dict[str, Callable[[], object]] = {
            "delete": lambda: client.delete_object(**at, VersionId=version),
            "bypass": lambda: client.delete_object(**at, VersionId=version, BypassGovernanceRetention=True),
            "shorten": lambda: self._retain(key, version, _MODE, sooner),
            "clear": lambda: client.put_object_retention(**at, VersionId=version, Retention={}),
            "govern": lambda: self._retain(key, version, "GOVERNANCE", until),
            "suspend": lambda: client.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
            ),
        }
        kept = {}
        for promise, attempt in attempts.items():
            kept[promise] = self._is_refused(attempt)
            if promise == "suspend" and not kept[promise]:
                # What was only tried must not be left so.
                with self._problems():
                    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return kept

    def _is_refused(self, attempt: Callable[[], object]) -> bool:
        try:
            with self._problems(refusable=True):
                attempt()
        except Refused:
            return True
        return False

    def stop(self) -> None:
        """See :class:`Bucket`."""
        self._throttle.stop()

    # --- inside

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": self._settings.prefix + key}

    def _problem(self, template: str, **fields: object) -> BucketProblem:
        return BucketProblem(
            "The bucket {url} cannot be used: {reason}. Nothing archived here was lost, and archiving goes on. "
            "Mend the access, the network or the settings; what is missing there is sent then.",
            url=self._settings.url,
            reason=Phrase(template, **fields),
        )

    @contextmanager
    def _problems(self, *, refusable: bool = False) -> Iterator[None]:
        """Failures as what the port promises; KeyError where an object is missing."""
        from botocore import exceptions
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if refusable and code in _FORBIDDEN:
                raise Refused(code) from None
            if code in _MISSING and error.operation_name in ("HeadObject", "GetObject"):
                raise KeyError(code) from None
            reason = _REASONS.get(code)
            known = reason is not None or (code.isalnum() and len(code) < 60)
            raise self._problem(reason or (OTHER if known else NO_S3), code=code) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            raise self._problem(NO_CREDENTIALS) from None
        except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError, HTTPError):
            raise self._problem(CUT) from None
        except (ResponseParserError, exceptions.ChecksumError):
            raise self._problem(NO_S3) from None
        except exceptions.SSLError:
            raise self._problem(UNTRUSTED) from None
        except (exceptions.BotoCoreError, OSError):
            raise self._problem(UNREACHABLE) from None


def _refuse_pages(http_response: Any, **_: Any) -> None:
    from botocore.parsers import ResponseParserError

    if "text/html" in http_response.headers.get("content-type", ""):
        raise ResponseParserError("a page")


def _credentials(path: Path | None) -> dict[str, str]:
    """Keys from a file of the owner's alone, in the form of ~/.aws/credentials; raises ConfigProblem."""
    if path is None:
        return {}
    problem = ConfigProblem(
        "The credentials file {path} cannot be used: it must be readable by its owner alone (mode 0600) and hold "
        "aws_access_key_id and aws_secret_access_key below [default]. Nothing was changed and nothing was sent.",
        path=path,
    )
    parser = configparser.RawConfigParser()
    try:
        if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise problem
        parser.read_string(path.read_text(encoding="utf-8"))
        keys = parser["default"]
        found = {name: keys[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
        if token := keys.get("aws_session_token"):
            found["aws_session_token"] = token
    except (OSError, ValueError, KeyError, configparser.Error):
        raise problem from None
    return found
