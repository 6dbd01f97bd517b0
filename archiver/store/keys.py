"""The archive's Ed25519 key and signatures in OpenSSH's SSHSIG format.

The format is PROTOCOL.sshsig of OpenSSH, so that stock ``git verify-tag`` and
``ssh-keygen -Y verify`` accept what is signed here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from pathlib import Path

from archiver.errors import StorageProblem

#: The signer's name in ``allowed_signers``, and the address in commits and tags.
PRINCIPAL = "archiver@localhost"
_NAMESPACE = b"git"


def create(folder: Path) -> None:
    """Make a new key pair and ``allowed_signers`` in ``folder``."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder.mkdir(mode=0o700)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write(folder / "signing_key", private, 0o600)
    signer = f'{PRINCIPAL} namespaces="git" {public.decode()}\n'
    _write(folder / "allowed_signers", signer.encode(), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def sign(folder: Path, message: bytes) -> str:
    """An armored SSH signature of ``message``; raises StorageProblem without a usable key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / "signing_key"
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise StorageProblem(
            "The signing key {path} cannot be used ({reason}). Nothing was recorded and nothing archived "
            "was lost. Restore the key from your backup of the archive's keys folder.",
            path=path,
            reason=error,
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageProblem(
            "The signing key {path} is not an Ed25519 key. Nothing was recorded and nothing archived was "
            "lost. Restore the key from your backup of the archive's keys folder.",
            path=path,
        )
    raw_public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    public = _string(b"ssh-ed25519") + _string(raw_public)
    envelope = _string(_NAMESPACE) + _string(b"") + _string(b"sha512")
    signed = b"SSHSIG" + envelope + _string(hashlib.sha512(message).digest())
    signature = _string(b"ssh-ed25519") + _string(key.sign(signed))
    blob = b"SSHSIG" + struct.pack(">I", 1) + _string(public) + envelope + _string(signature)
    return _armor(blob)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _armor(blob: bytes) -> str:
    text = base64.b64encode(blob).decode("ascii")
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])
