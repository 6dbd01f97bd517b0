"""Turning the failures of the S3 client into the errors of the port, each with a reason for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from archiver.errors import LazyMessage
from archiver.replica.bucket import BucketProblem, ObjectMissing, RequestForbidden

_UNKNOWN_KEY = LazyMessage.define("the access key is not known there", code="bucket.unknown-key")
_WRONG_SECRET = LazyMessage.define("the secret key is wrong", code="bucket.wrong-secret")
_FORBIDS = LazyMessage.define("this key may not do that", code="bucket.forbidden")
_NO_BUCKET = LazyMessage.define("there is no such bucket", code="bucket.no-bucket")
_CLOCKS = LazyMessage.define(
    "the clocks of this server and of the bucket differ too much", code="bucket.clocks-differ"
)
_OVERLOADED = LazyMessage.define("the bucket is overloaded", code="bucket.overloaded")
#: A server's error code -> the reason in a sentence.
_REASONS: Mapping[str, LazyMessage] = {
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "AccessDenied": _FORBIDS,
    "NoSuchBucket": _NO_BUCKET,
    "RequestTimeTooSkewed": _CLOCKS,
    "SlowDown": _OVERLOADED,
    "ServiceUnavailable": _OVERLOADED,
    "503": _OVERLOADED,
    "403": _FORBIDS,
    "404": _NO_BUCKET,
}
NO_CREDENTIALS = LazyMessage.define("there are no credentials for it", code="bucket.no-credentials")
UNREACHABLE = LazyMessage.define("it cannot be reached", code="bucket.unreachable")
UNTRUSTED = LazyMessage.define("its certificate is not trusted here (see replica.ca)", code="bucket.untrusted")
NO_S3 = LazyMessage.define("what answers there does not speak S3", code="bucket.no-s3")
OTHER = LazyMessage.define("it answered {code}", code="bucket.other-answer")
CUT = LazyMessage.define("the connection ended in the middle of an object", code="bucket.cut")
UNLOCKED = LazyMessage.define("it took an object and did not lock it", code="bucket.unlocked")
#: Codes of a missing object. Servers answer "method not allowed" for a version that is a delete marker.
_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "405"})
#: Codes of a refused request. Ceph calls the empty retention that would clear a lock malformed.
_FORBIDDEN_CODES = frozenset(
    {"AccessDenied", "InvalidRequest", "InvalidBucketState", "MalformedXML", "ObjectLocked", "403", "400", "409"}
)
#: A longer or odder code is no S3 server's, and may be a page that echoes the request.
_LONGEST_CODE = 60


def bucket_problem(url: str, reason: LazyMessage) -> BucketProblem:
    """Return the error to raise for the bucket at ``url``."""
    return BucketProblem(
        "The bucket {url} cannot be used: {reason}. Nothing archived here was lost, and archiving goes on. "
        "Mend the access, the network or the settings; what is missing there is sent then.",
        url=url,
        reason=reason,
    )


@contextmanager
def narrowed_errors(url: str, *, may_be_forbidden: bool = False) -> Iterator[None]:
    """Turn failures of the client into the errors of the port.

    Raises ObjectMissing for an object that was asked for and does not exist, RequestForbidden (only with
    ``may_be_forbidden``) for a refusal, BucketProblem for everything else.
    """
    from botocore import exceptions
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if may_be_forbidden and code in _FORBIDDEN_CODES:
            raise RequestForbidden(code) from None
        if code in _MISSING_CODES and error.operation_name in ("HeadObject", "GetObject"):
            raise ObjectMissing(code) from None
        raise bucket_problem(url, _reason_of_code(code)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise bucket_problem(url, NO_CREDENTIALS) from None
    except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError, HTTPError):
        raise bucket_problem(url, CUT) from None
    except (ResponseParserError, exceptions.ChecksumError):
        raise bucket_problem(url, NO_S3) from None
    except exceptions.SSLError:
        raise bucket_problem(url, UNTRUSTED) from None
    except (exceptions.BotoCoreError, OSError):
        raise bucket_problem(url, UNREACHABLE) from None
    except (LookupError, ValueError):
        # The client could parse the reply, but a member is missing or has another form.
        raise bucket_problem(url, NO_S3) from None


def _reason_of_code(code: str) -> LazyMessage:
    """Return the reason for an error code; an unknown code is shown only in the form of S3 codes."""
    if code in _REASONS:
        return _REASONS[code]
    return OTHER.with_fields(code=code) if code.isalnum() and len(code) < _LONGEST_CODE else NO_S3
