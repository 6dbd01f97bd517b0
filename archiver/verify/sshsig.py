"""Check SSH signatures as in OpenSSH's PROTOCOL.sshsig, without any of the code that signs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from typing import NamedTuple

_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_END = b"-----END SSH SIGNATURE-----"
#: Preamble of a signature, and of the data that it signs.
_MAGIC = b"SSHSIG"
#: Version of the format, a big-endian number of 32 bits.
_VERSION = b"\0\0\0\1"
#: The purpose of a signature, as git writes it. A signature for another purpose must not be accepted.
GIT_NAMESPACE = "git"
_NAMESPACES_OPTION = re.compile(rb'namespaces="([^"]*)"')
_KEY_TYPE = b"ssh-ed25519"
#: Size of the length before an SSH string, a big-endian number of 32 bits.
_LENGTH_BYTES = 4


class _ParsedSignature(NamedTuple):
    """The parts of a signature that a check needs. An SSH string is preceded by its length."""

    public_key: bytes  # the type of the key and its bytes, as SSH strings
    signed_header: bytes  # purpose, reserved bytes and name of the hash: signed together with the digest
    signature: bytes  # the type of the signature and its bytes, as SSH strings
    hash_name: str  # sha256 or sha512


def has_valid_tag_signature(tag_object: bytes, allowed_signers: bytes) -> bool:
    """Return True if a git tag object ends with a valid signature by one of the keys in ``allowed_signers``.

    The signature covers all bytes before it. ``allowed_signers`` has the format of OpenSSH's ALLOWED SIGNERS.
    """
    message, begin_line, rest_of_signature = tag_object.partition(_BEGIN)
    return is_valid_signature(message, begin_line + rest_of_signature, allowed_signers)


def is_valid_signature(
    message: bytes, signature_file: bytes, allowed_signers: bytes, namespace: str = GIT_NAMESPACE
) -> bool:
    """Return True if ``signature_file`` is a valid signature of ``message`` by a key in ``allowed_signers``.

    ``namespace`` is the purpose of the signature, for which the key must be allowed.  The file has the armor of
    OpenSSH: base64 between two marker lines. ``allowed_signers`` has the format of OpenSSH's ALLOWED SIGNERS;
    only its Ed25519 keys are used.

    Returns False for a damaged signature, a signature in another format, and one for another purpose.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not signature_file.startswith(_BEGIN):
        return False
    signature_base64 = signature_file.removeprefix(_BEGIN).split(_END)[0]
    try:
        parsed = _parse_signature(base64.b64decode(signature_base64, validate=False), namespace.encode())
        digest = hashlib.new(parsed.hash_name, message).digest()
        if parsed.public_key not in _parse_allowed_keys(allowed_signers, namespace.encode()):
            return False
        # Key and signature are sequences of two SSH strings: the type, and the bytes of the algorithm.
        verifier = Ed25519PublicKey.from_public_bytes(_split_strings(parsed.public_key)[1])
        signed_data = _MAGIC + parsed.signed_header + _pack_string(digest)
        verifier.verify(_split_strings(parsed.signature)[1], signed_data)
    except (ValueError, IndexError, struct.error, binascii.Error, InvalidSignature):
        # The signature is damaged, forged, or in another format. None of these is valid.
        return False
    return True


def _parse_signature(signature_blob: bytes, expected_namespace: bytes) -> _ParsedSignature:
    """Parse the decoded bytes of an armored signature.

    Raises ValueError or struct.error if they are not a signature for ``expected_namespace``.
    """
    preamble = _MAGIC + _VERSION
    if not signature_blob.startswith(preamble):
        raise ValueError("not an SSH signature")
    public_key, namespace, reserved, hash_name, signature = _split_strings(signature_blob[len(preamble) :])
    if namespace != expected_namespace or hash_name not in (b"sha256", b"sha512"):
        raise ValueError("a signature for something else")
    signed_header = b"".join(_pack_string(field) for field in (namespace, reserved, hash_name))
    return _ParsedSignature(public_key, signed_header, signature, hash_name.decode("ascii"))


def _pack_string(data: bytes) -> bytes:
    """Return ``data`` as an SSH string: the length, a big-endian number of 32 bits, and then the bytes."""
    return struct.pack(">I", len(data)) + data


def _split_strings(ssh_strings: bytes) -> list[bytes]:
    """Split a sequence of SSH strings, and return each string without the length before it.

    Raises ValueError or struct.error if the last string is cut off.
    """
    strings = []
    remaining = ssh_strings
    while remaining:
        (length,) = struct.unpack(">I", remaining[:_LENGTH_BYTES])
        end = _LENGTH_BYTES + length
        if len(remaining) < end:
            raise ValueError("cut off")
        strings.append(remaining[_LENGTH_BYTES:end])
        remaining = remaining[end:]
    return strings


def _parse_allowed_keys(allowed_signers: bytes, namespace: bytes) -> set[bytes]:
    """Return the Ed25519 keys that ``allowed_signers`` allows for ``namespace``, as sequences of SSH strings.

    Raises binascii.Error if a key is not base64.
    """
    public_keys = set()
    for signer_line in allowed_signers.splitlines():
        # A line has principals, perhaps options, the type of the key, and the key in base64.
        columns = signer_line.split()
        option = _NAMESPACES_OPTION.search(signer_line)
        if option is not None and namespace not in option[1].split(b","):
            continue
        if _KEY_TYPE in columns[:-1]:
            encoded_key = columns[columns.index(_KEY_TYPE) + 1]
            public_keys.add(base64.b64decode(encoded_key))
    return public_keys
