"""RFC 3161 time-stamp tokens: asking an authority for one, and checking what it said.

The only module that knows the format.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime

from archiver.errors import StorageProblem

_PATIENCE_SECONDS = 10.0
_LONGEST_BYTES = 1 << 20


def ask(url: str, data: bytes) -> bytes:
    """The authority's answer for the SHA-256 of ``data``; raises StorageProblem where it gives none."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    query = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    request = urllib.request.Request(
        url, query.as_bytes(), {"Content-Type": "application/timestamp-query"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as response:
            answer: bytes = response.read(_LONGEST_BYTES)
    except (OSError, ValueError) as error:
        raise StorageProblem(
            "The time-stamp authority {url} gives no token ({reason}). Nothing was lost: the archive goes on, and "
            "the daemon asks again later.",
            url=url,
            reason=getattr(error, "reason", error),
        ) from None
    check_nonce(answer, query.nonce)
    return answer


def check_nonce(answer: bytes, nonce: int | None) -> None:
    """Whether the answer is to this question, and not a recorded one; raises StorageProblem."""
    from rfc3161_client import decode_timestamp_response

    try:
        fits = decode_timestamp_response(answer).tst_info.nonce == nonce
    except ValueError:
        fits = False
    if not fits:
        raise StorageProblem(
            "The time-stamp authority sent something that is no answer to the question. Nothing was lost: the "
            "archive goes on, and the daemon asks again later."
        )


def proven_time(answer: bytes, data: bytes, roots: bytes) -> datetime:
    """The time of a token over ``data`` that leads to one of the ``roots``; raises ValueError.

    A token stays good after the authority's certificate has expired: it is
    checked as of its own time.
    """
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    response = decode_timestamp_response(answer)
    builder = VerifierBuilder()
    for root in load_pem_x509_certificates(roots):
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify_message(response, data)
    except VerificationError as error:
        raise ValueError(str(error)) from None
    return response.tst_info.gen_time.astimezone(UTC)


def parse_roots(data: bytes) -> int:
    """How many certificates a PEM file holds; raises ValueError where it holds none."""
    from cryptography.x509 import load_pem_x509_certificates

    return len(load_pem_x509_certificates(data))
