"""Keep the archive's Ed25519 key, and sign in OpenSSH's SSHSIG format.

The format is PROTOCOL.sshsig of OpenSSH, so that stock ``git verify-tag`` and ``ssh-keygen -Y verify`` accept the
signatures.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import StorageError
from archiver.path_existence import is_there
from archiver.store.fsync import sync_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The signer's name in ``allowed_signers``, and the address in commits and tags.
PRINCIPAL = "archiver@localhost"
_NAMESPACE = b"git"
_KEY_FILE = "signing_key"
_NEXT_KEY_FILE = "signing_key.new"
_SIGNERS_FILE = "allowed_signers"
#: SIG_VERSION of PROTOCOL.sshsig.
_SIGNATURE_VERSION = 1
#: As ``ssh-keygen -Y sign`` breaks its lines.
_ARMOR_COLUMNS = 70


def create(folder: Path) -> None:
    """Create a folder with a new key pair and ``allowed_signers``; raises OSError."""
    folder.mkdir(mode=0o700)
    _write_new(folder / _SIGNERS_FILE, _generate(folder / _KEY_FILE), 0o644)


def prepare(folder: Path, signers: bytes) -> bytes:
    """Generate a key beside the one in use; return ``signers`` with the new key as the last line.

    The new key signs nothing before :func:`install`.  Raises StorageError.
    """
    try:
        (folder / _NEXT_KEY_FILE).unlink(missing_ok=True)
        return signers + _generate(folder / _NEXT_KEY_FILE)
    except OSError as error:
        raise _unusable(folder / _NEXT_KEY_FILE, error) from None


def install(folder: Path, signers: bytes) -> None:
    """Replace the key in use by the prepared one if ``signers`` ends with it; otherwise delete the prepared one.

    Crash window: the journal has the new key and the folder still the old one.  Recovery calls this again.

    Raises StorageError for a prepared key that cannot be read, OSError for a disk that takes no write.
    """
    if not is_there(folder / _NEXT_KEY_FILE):
        return
    if not signers.endswith(_signers_line(_load(folder / _NEXT_KEY_FILE))):
        (folder / _NEXT_KEY_FILE).unlink()
        return
    new_signers_file = folder / "allowed_signers.new"
    new_signers_file.unlink(missing_ok=True)
    _write_new(new_signers_file, signers, 0o644)
    new_signers_file.rename(folder / _SIGNERS_FILE)
    (folder / _NEXT_KEY_FILE).rename(folder / _KEY_FILE)
    sync_path(os.fspath(folder))


def copy(folder: Path, target: Path) -> None:
    """Copy key and signers to ``target``, for the caller alone; raises OSError, StorageError for a bad copy."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, mode in ((_KEY_FILE, 0o600), (_SIGNERS_FILE, 0o600)):
        _write_new(target / name, (folder / name).read_bytes(), mode)
    if _signers_line(_load(target / _KEY_FILE)) != _signers_line(_load(folder / _KEY_FILE)):
        raise _unusable(target / _KEY_FILE, "it is not what was copied")


def _generate(path: Path) -> bytes:
    """Generate a private key; return its line for ``allowed_signers``."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private_bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    _write_new(path, private_bytes, 0o600)
    return _signers_line(key)


def _signers_line(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    public_bytes = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f'{PRINCIPAL} namespaces="git" {public_bytes.decode()}\n'.encode()


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


def _unusable(path: Path, reason: object) -> StorageError:
    return StorageError(
        "The signing key {path} cannot be used ({reason}). Nothing was recorded and nothing archived "
        "was lost. Bring it back from your backup of the keys folder; where there is none: archiver key replace",
        path=path,
        reason=reason,
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def sign(folder: Path, message: bytes) -> str:
    """Return an armored SSH signature of ``message``; raises StorageError without a usable key."""
    from cryptography.hazmat.primitives import serialization

    key = _load(folder / _KEY_FILE)
    raw_public_key = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    public_key = _ssh_string(b"ssh-ed25519") + _ssh_string(raw_public_key)
    # Namespace, a reserved field, and the hash algorithm: in the signed data as well as in the signature.
    envelope = _ssh_string(_NAMESPACE) + _ssh_string(b"") + _ssh_string(b"sha512")
    signed_data = b"SSHSIG" + envelope + _ssh_string(hashlib.sha512(message).digest())
    signature = _ssh_string(b"ssh-ed25519") + _ssh_string(key.sign(signed_data))
    version = struct.pack(">I", _SIGNATURE_VERSION)
    blob = b"SSHSIG" + version + _ssh_string(public_key) + envelope + _ssh_string(signature)
    return _armor(blob)


def _ssh_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _armor(blob: bytes) -> str:
    text = base64.b64encode(blob).decode("ascii")
    lines = [text[start : start + _ARMOR_COLUMNS] for start in range(0, len(text), _ARMOR_COLUMNS)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])
