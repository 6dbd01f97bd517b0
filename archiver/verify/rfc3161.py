"""Request and check RFC 3161 timestamp tokens from an authority.

No other module knows the format of a token.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime

from archiver.errors import StorageError

#: Authorities reply within a second or two. With a longer timeout, an authority that hangs would delay the other
#: jobs of the daemon. A request that was given up costs little, because the daemon repeats it later.
_TIMEOUT_SECONDS = 10.0
#: A token has a few kilobytes, even with the certificates of the authority. A longer reply is cut off here, so
#: that a faulty server cannot fill the memory.
_MAX_REPLY_BYTES = 1 << 20


def request_token(url: str, stamped_bytes: bytes) -> bytes:
    """Request a token over the SHA-256 of ``stamped_bytes`` from the authority at ``url``; return the token (DER).

    Only the nonce of the token is checked here. Call :func:`verify_token` to check the signature and the digest.

    Waits up to _TIMEOUT_SECONDS for each answer from the network.

    Raises StorageError if the authority cannot be reached, or if the reply is not a token for this request.
    """
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    token_request = TimestampRequestBuilder().data(stamped_bytes).hash_algorithm(HashAlgorithm.SHA256).build()
    http_request = urllib.request.Request(
        url, token_request.as_bytes(), {"Content-Type": "application/timestamp-query"}, method="POST"
    )
    try:
        with urllib.request.urlopen(http_request, timeout=_TIMEOUT_SECONDS) as response:
            token: bytes = response.read(_MAX_REPLY_BYTES)
    except (OSError, ValueError) as error:
        raise StorageError(
            "The timestamp authority {url} returned no token ({reason}). No archived data was lost. The service "
            "retries later.",
            url=url,
            reason=getattr(error, "reason", error),
        ) from None
    check_token_nonce(token, token_request.nonce)
    return token


def check_token_nonce(token: bytes, expected_nonce: int | None) -> None:
    """Check the nonce of ``token`` against ``expected_nonce``, the random number of the request.

    This keeps an attacker from answering a request with an older token.

    Raises StorageError if the nonce differs, or if ``token`` cannot be parsed.
    """
    from rfc3161_client import decode_timestamp_response

    try:
        has_expected_nonce = decode_timestamp_response(token).tst_info.nonce == expected_nonce
    except ValueError:
        # The reply is not a token at all, which raises the same error as another nonce.
        has_expected_nonce = False
    if not has_expected_nonce:
        raise StorageError(
            "The timestamp authority returned an invalid response. No archived data was lost. The service "
            "retries later."
        )


def verify_token(token: bytes, stamped_bytes: bytes, root_certificates: bytes) -> datetime:
    """Check the signature and the digest of ``token``, and return the proven time, in UTC.

    The token must cover ``stamped_bytes``, and its certificate must chain to one of ``root_certificates`` (PEM).
    The validity of certificates is checked as of the time of the token, so a token stays valid after they expire.

    Raises ValueError if ``token`` cannot be parsed, covers other data, or is signed by another authority.
    """
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    response = decode_timestamp_response(token)
    builder = VerifierBuilder()
    for root_certificate in load_pem_x509_certificates(root_certificates):
        builder = builder.add_root_certificate(root_certificate)
    try:
        builder.build().verify_message(response, stamped_bytes)
    except VerificationError as error:
        raise ValueError(str(error)) from None
    return response.tst_info.gen_time.astimezone(UTC)


def count_certificates(pem_bytes: bytes) -> int:
    """Return the number of certificates in the bytes of a PEM file.  Raises ValueError if there is none."""
    from cryptography.x509 import load_pem_x509_certificates

    return len(load_pem_x509_certificates(pem_bytes))
