"""Checking SSH signatures (PROTOCOL.sshsig of OpenSSH), apart from the code that makes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct

_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_END = b"-----END SSH SIGNATURE-----"


def is_signed_by(tag: bytes, allowed_signers: bytes) -> bool:
    """Whether a tag object carries a good signature by one of the allowed keys."""
    message, begin, armored = tag.partition(_BEGIN)
    return is_signature_of(message, begin + armored, allowed_signers)


def is_signature_of(message: bytes, signature_file: bytes, allowed_signers: bytes) -> bool:
    """Whether an armored signature is a good one of ``message``, by one of the allowed keys."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not signature_file.startswith(_BEGIN):
        return False
    armored = signature_file.removeprefix(_BEGIN)
    try:
        blob = base64.b64decode(armored.split(_END)[0], validate=False)
        public, envelope, signature, algorithm = _parse(blob)
        digest = hashlib.new(algorithm, message).digest()
        if public not in _keys(allowed_signers):
            return False
        key = Ed25519PublicKey.from_public_bytes(_fields(public)[1])
        key.verify(_fields(signature)[1], b"SSHSIG" + envelope + struct.pack(">I", len(digest)) + digest)
    except (ValueError, IndexError, struct.error, binascii.Error, InvalidSignature):
        return False
    return True


def _parse(blob: bytes) -> tuple[bytes, bytes, bytes, str]:
    if blob[:6] != b"SSHSIG" or blob[6:10] != b"\0\0\0\1":
        raise ValueError("not an SSH signature")
    public, namespace, reserved, algorithm, signature = _fields(blob[10:])
    if namespace != b"git" or algorithm not in (b"sha256", b"sha512"):
        raise ValueError("a signature for something else")
    envelope = b"".join(struct.pack(">I", len(part)) + part for part in (namespace, reserved, algorithm))
    return public, envelope, signature, algorithm.decode("ascii")


def _fields(blob: bytes) -> list[bytes]:
    fields = []
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        if len(blob) < 4 + length:
            raise ValueError("cut off")
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _keys(allowed_signers: bytes) -> set[bytes]:
    keys = set()
    for line in allowed_signers.splitlines():
        words = line.split()
        if b"ssh-ed25519" in words[:-1]:
            keys.add(base64.b64decode(words[words.index(b"ssh-ed25519") + 1]))
    return keys
