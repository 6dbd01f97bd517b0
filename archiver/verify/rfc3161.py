"""RFC 3161 time-stamp tokens: requesting a token from an authority, and checking tokens.

The only module that knows the format.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime

from archiver.errors import StorageError

#: Authorities reply within a second or two. Longer: the daemon's other jobs wait, though it asks again anyway.
_TIMEOUT_SECONDS = 10.0
#: Tokens with the certificates of the authority have some kilobytes.
_LONGEST_REPLY_BYTES = 1 << 20


def request_token(url: str, data: bytes) -> bytes:
    """Request a token over the SHA-256 of ``data``, and return the authority's reply.

    The reply is checked to answer this request; :func:`proven_time` checks the rest. Raises StorageError if the
    authority cannot be reached, or sends anything else.
    """
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    token_request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    http_request = urllib.request.Request(
        url, token_request.as_bytes(), {"Content-Type": "application/timestamp-query"}, method="POST"
    )
    try:
        with urllib.request.urlopen(http_request, timeout=_TIMEOUT_SECONDS) as response:
            token: bytes = response.read(_LONGEST_REPLY_BYTES)
    except (OSError, ValueError) as error:
        raise StorageError(
            "The time-stamp authority {url} gives no token ({reason}). Nothing was lost: the archive goes on, and "
            "the daemon asks again later.",
            url=url,
            reason=getattr(error, "reason", error),
        ) from None
    check_nonce(token, token_request.nonce)
    return token


def check_nonce(token: bytes, expected_nonce: int | None) -> None:
    """Check that a token answers the request with this nonce, and is not a recorded token replayed.

    Raises StorageError if the nonce differs or ``token`` is no token.
    """
    from rfc3161_client import decode_timestamp_response

    try:
        is_expected = decode_timestamp_response(token).tst_info.nonce == expected_nonce
    except ValueError:  # not a token at all
        is_expected = False
    if not is_expected:
        raise StorageError(
            "The time-stamp authority sent something that is no answer to the question. Nothing was lost: the "
            "archive goes on, and the daemon asks again later."
        )


def proven_time(token: bytes, data: bytes, roots: bytes) -> datetime:
    """Return the time of a token over ``data`` that leads to one of the certificates in ``roots`` (PEM).

    Certificates are checked as of the time of the token, so a token stays valid after they expire.

    Raises ValueError for a token over other data, by another authority, or none at all.
    """
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    response = decode_timestamp_response(token)
    builder = VerifierBuilder()
    for root in load_pem_x509_certificates(roots):
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify_message(response, data)
    except VerificationError as error:
        raise ValueError(str(error)) from None
    return response.tst_info.gen_time.astimezone(UTC)


def count_certificates(data: bytes) -> int:
    """Return the number of certificates in a PEM file.  Raises ValueError for a file without any."""
    from cryptography.x509 import load_pem_x509_certificates

    return len(load_pem_x509_certificates(data))
