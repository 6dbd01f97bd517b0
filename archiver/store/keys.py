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
from typing import TYPE_CHECKING

from archiver.errors import StorageProblem
from archiver.existence import is_there
from archiver.store.fsync import sync_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The signer's name in ``allowed_signers``, and the address in commits and tags.
PRINCIPAL = "archiver@localhost"
_NAMESPACE = b"git"
_KEY = "signing_key"
_NEXT = "signing_key.new"


def create(folder: Path) -> None:
    """Make a new key pair and ``allowed_signers`` in ``folder``."""
    folder.mkdir(mode=0o700)
    _write(folder / "allowed_signers", _generate(folder / _KEY), 0o644)


def prepare(folder: Path, signers: bytes) -> bytes:
    """Make a key beside the one in use; returns ``signers`` with it as the last line.

    It signs nothing before :func:`install`.  Raises StorageProblem.
    """
    try:
        (folder / _NEXT).unlink(missing_ok=True)
        return signers + _generate(folder / _NEXT)
    except OSError as error:
        raise _unusable(folder / _NEXT, error) from None


def install(folder: Path, signers: bytes) -> None:
    """Put the prepared key into force, if ``signers`` ends with it; else drop it.

    Crash window: the journal has the new key and the folder still the old one.
    Recovery calls this again.
    """
    if not is_there(folder / _NEXT):
        return
    if not signers.endswith(_line(_load(folder / _NEXT))):
        (folder / _NEXT).unlink()
        return
    aside = folder / "allowed_signers.new"
    aside.unlink(missing_ok=True)
    _write(aside, signers, 0o644)
    aside.rename(folder / "allowed_signers")
    (folder / _NEXT).rename(folder / _KEY)
    sync_path(os.fspath(folder))


def copy(folder: Path, target: Path) -> None:
    """Copy key and list to ``target``, readable for the caller only; raises OSError and StorageProblem."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, mode in ((_KEY, 0o600), ("allowed_signers", 0o600)):
        _write(target / name, (folder / name).read_bytes(), mode)
    if _line(_load(target / _KEY)) != _line(_load(folder / _KEY)):
        raise _unusable(target / _KEY, "it is not what was copied")


def _generate(path: Path) -> bytes:
    """Make a private key; returns its line for ``allowed_signers``."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    _write(path, private, 0o600)
    return _line(key)


def _line(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f'{PRINCIPAL} namespaces="git" {public.decode()}\n'.encode()


def _load(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "it is not an Ed25519 key")
    return key


def _unusable(path: Path, reason: object) -> StorageProblem:
    return StorageProblem(
        "The signing key {path} cannot be used ({reason}). Nothing was recorded and nothing archived "
        "was lost. Bring it back from your backup of the keys folder; where there is none: archiver key replace",
        path=path,
        reason=reason,
    )


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

    key = _load(folder / _KEY)
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
