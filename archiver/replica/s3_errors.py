"""Converts failures of the S3 client into the errors of the bucket port, with reasons that people understand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from archiver.errors import LazyMessage
from archiver.replica.bucket import BucketProblem, ObjectMissing, RequestForbidden

_UNKNOWN_KEY = LazyMessage.define("the server does not know the access key", code="bucket.unknown-key")
_WRONG_SECRET = LazyMessage.define("the secret key is wrong", code="bucket.wrong-secret")
_FORBIDDEN = LazyMessage.define("access denied for this key", code="bucket.forbidden")
_NO_BUCKET = LazyMessage.define("the bucket does not exist", code="bucket.no-bucket")
_CLOCKS_DIFFER = LazyMessage.define(
    "the clocks of this server and of the bucket differ too much", code="bucket.clocks-differ"
)
_OVERLOADED = LazyMessage.define("the bucket is overloaded", code="bucket.overloaded")
#: A server's error code -> the reason as a clause of the message for users. If a reply has no body, the client
#: reports the HTTP status as the code.
_REASON_BY_CODE: Mapping[str, LazyMessage] = {
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "AccessDenied": _FORBIDDEN,
    "NoSuchBucket": _NO_BUCKET,
    "RequestTimeTooSkewed": _CLOCKS_DIFFER,
    "SlowDown": _OVERLOADED,
    "ServiceUnavailable": _OVERLOADED,
    "503": _OVERLOADED,
    "403": _FORBIDDEN,
    "404": _NO_BUCKET,
}
NO_CREDENTIALS = LazyMessage.define("credentials are missing", code="bucket.no-credentials")
UNREACHABLE = LazyMessage.define("it cannot be reached", code="bucket.unreachable")
UNTRUSTED = LazyMessage.define("its certificate is not trusted (see replica.ca)", code="bucket.untrusted")
NOT_S3 = LazyMessage.define("the endpoint is not an S3 server", code="bucket.no-s3")
OTHER_ANSWER = LazyMessage.define("it returned {code}", code="bucket.other-answer")
CONNECTION_CUT = LazyMessage.define("the connection ended in the middle of an object", code="bucket.cut")
LOCK_IGNORED = LazyMessage.define("it accepted an object without locking it", code="bucket.unlocked")
#: The codes for a missing object. Servers answer "method not allowed" if the version is a delete marker.
_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "405"})
#: The codes for a refused request. "MalformedXML" is Ceph's answer to a request that would clear a lock.
_FORBIDDEN_CODES = frozenset(
    {"AccessDenied", "InvalidRequest", "InvalidBucketState", "MalformedXML", "ObjectLocked", "403", "400", "409"}
)
#: The codes of S3 servers are shorter than this. A longer one may come from a web page that repeats the request.
_LONGEST_CODE = 60


def bucket_problem(url: str, reason: LazyMessage) -> BucketProblem:
    """Build the error about the bucket at ``url``, for the caller to raise.

    ``reason`` is a clause of the message.
    """
    return BucketProblem(
        "Cannot use the bucket {url}: {reason}. No archived data was lost. Capture continues. Check access, "
        "network, and configuration; missing objects are uploaded afterwards.",
        url=url,
        reason=reason,
    )


@contextmanager
def convert_client_errors(url: str, *, may_be_forbidden: bool = False) -> Iterator[None]:
    """Convert errors that the S3 client raises in the block into those of :mod:`archiver.replica.bucket`.

    A LookupError or ValueError in the block counts as a reply in another form than that of S3, and an OSError as
    an unreachable bucket. The original error is dropped, since it may quote a reply that repeats the credentials.

    Raises ObjectMissing if the requested object does not exist, RequestForbidden (only with ``may_be_forbidden``)
    if the server refuses the request, and BucketProblem, whose message names ``url``, for any other failure.
    """
    # boto3, to which these belong, is optional and takes long to import.
    from botocore import exceptions
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except exceptions.ClientError as error:
        error_code = str(error.response.get("Error", {}).get("Code", ""))
        if may_be_forbidden and error_code in _FORBIDDEN_CODES:
            raise RequestForbidden(error_code) from None
        if error_code in _MISSING_CODES and error.operation_name in ("HeadObject", "GetObject"):
            raise ObjectMissing(error_code) from None
        raise bucket_problem(url, _explain_error_code(error_code)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise bucket_problem(url, NO_CREDENTIALS) from None
    except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError, HTTPError):
        raise bucket_problem(url, CONNECTION_CUT) from None
    except (ResponseParserError, exceptions.ChecksumError):
        raise bucket_problem(url, NOT_S3) from None
    except exceptions.SSLError:
        raise bucket_problem(url, UNTRUSTED) from None
    except (exceptions.BotoCoreError, OSError):
        raise bucket_problem(url, UNREACHABLE) from None
    except (LookupError, ValueError):
        # The client could parse the reply, but the block found a member missing or in another form.
        raise bucket_problem(url, NOT_S3) from None


def _explain_error_code(error_code: str) -> LazyMessage:
    """Return the reason for a server's error code, as a clause of a message.

    The clause quotes an unknown code only if the code looks like an S3 code, since other text may come from a web
    page.
    """
    if error_code in _REASON_BY_CODE:
        return _REASON_BY_CODE[error_code]
    is_plausible_code = error_code.isalnum() and len(error_code) < _LONGEST_CODE
    return OTHER_ANSWER.with_fields(code=error_code) if is_plausible_code else NOT_S3
