"""Checking SSH signatures (OpenSSH's PROTOCOL.sshsig), independent of the signing code."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct

_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_END = b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_VERSION = b"\0\0\0\1"
#: Signatures of git objects; one made for another purpose must not pass for one of these.
_NAMESPACE = b"git"
_KEY_TYPE = b"ssh-ed25519"


def is_signed_by(tag: bytes, allowed_signers: bytes) -> bool:
    """Return True if a tag object ends with a valid signature by one of the allowed keys."""
    message, begin, armored_rest = tag.partition(_BEGIN)
    return is_signature_of(message, begin + armored_rest, allowed_signers)


def is_signature_of(message: bytes, signature_file: bytes, allowed_signers: bytes) -> bool:
    """Return True if an armored signature is valid for ``message``, and made by one of the allowed keys.

    ``allowed_signers`` has the form of OpenSSH's ALLOWED SIGNERS; keys of other types than Ed25519 do not count.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not signature_file.startswith(_BEGIN):
        return False
    armored = signature_file.removeprefix(_BEGIN).split(_END)[0]
    try:
        blob = base64.b64decode(armored, validate=False)
        public_key, signed_header, signature, hash_name = _parse_signature(blob)
        digest = hashlib.new(hash_name, message).digest()
        if public_key not in _parse_allowed_keys(allowed_signers):
            return False
        verifier = Ed25519PublicKey.from_public_bytes(_split_strings(public_key)[1])
        verifier.verify(_split_strings(signature)[1], _MAGIC + signed_header + _packed_string(digest))
    except (ValueError, IndexError, struct.error, binascii.Error, InvalidSignature):
        # Damaged, of another form, or forged: no valid signature in any case.
        return False
    return True


def _parse_signature(blob: bytes) -> tuple[bytes, bytes, bytes, str]:
    """Return public key, the header that is signed with the digest, signature, and the name of the hash.

    Raises ValueError for anything but a signature of a git object.
    """
    if blob[:6] != _MAGIC or blob[6:10] != _VERSION:
        raise ValueError("not an SSH signature")
    public_key, namespace, reserved, hash_name, signature = _split_strings(blob[10:])
    if namespace != _NAMESPACE or hash_name not in (b"sha256", b"sha512"):
        raise ValueError("a signature for something else")
    signed_header = b"".join(_packed_string(part) for part in (namespace, reserved, hash_name))
    return public_key, signed_header, signature, hash_name.decode("ascii")


def _packed_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _split_strings(blob: bytes) -> list[bytes]:
    """Split a sequence of SSH strings.  Raises ValueError or struct.error if the last one is cut off."""
    strings = []
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        if len(blob) < 4 + length:
            raise ValueError("cut off")
        strings.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return strings


def _parse_allowed_keys(allowed_signers: bytes) -> set[bytes]:
    public_keys = set()
    for line in allowed_signers.splitlines():
        columns = line.split()
        if _KEY_TYPE in columns[:-1]:
            public_keys.add(base64.b64decode(columns[columns.index(_KEY_TYPE) + 1]))
    return public_keys
