"""Keep the archive's Ed25519 key, and sign in OpenSSH's SSHSIG format.

The format is PROTOCOL.sshsig of OpenSSH, so that stock ``git verify-tag`` and ``ssh-keygen -Y verify`` accept the
signatures.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import StorageError
from archiver.path_existence import is_there
from archiver.store.events.signed_head import HEAD_NAMESPACE
from archiver.store.fsync import sync_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The signer's name in ``allowed_signers``, and the address in commits and tags.
PRINCIPAL = "archiver@localhost"
#: The namespace of git's signatures. A signature is valid only in the namespace for which it was created, so that
#: a signed commit cannot be passed off as a signed mail, for example.
GIT_NAMESPACE = "git"
#: The namespaces in a line of ``allowed_signers``. In the old format 1, a key signed only for git.
_NAMESPACES = f'namespaces="{GIT_NAMESPACE},{HEAD_NAMESPACE}"'
_FORMAT_1_NAMESPACES = f'namespaces="{GIT_NAMESPACE}"'
_KEY_FILE = "signing_key"
#: The key that a rotation has prepared, and that is not in use yet.
_NEXT_KEY_FILE = "signing_key.new"
_SIGNERS_FILE = "allowed_signers"
#: SIG_VERSION of PROTOCOL.sshsig.
_SIGNATURE_VERSION = 1
#: ``ssh-keygen -Y sign`` breaks its lines after this many characters.
_ARMOR_COLUMNS = 70
_OWNER_MODE, _PUBLIC_MODE = 0o600, 0o644


def create_keys(keys_folder: Path) -> None:
    """Create ``keys_folder`` with a new private key and ``allowed_signers``; raises OSError."""
    keys_folder.mkdir(mode=0o700)
    _write_new_file(keys_folder / _SIGNERS_FILE, _generate_key(keys_folder / _KEY_FILE), _PUBLIC_MODE)


def prepare_next_key(keys_folder: Path, signers: bytes) -> bytes:
    """Generate a second key in ``keys_folder``; return ``signers`` with a line for the new key appended.

    ``signers`` is the text of ``allowed_signers``, whose file is not changed.  A key that was prepared earlier is
    replaced.  The old key stays in use until :func:`install_next_key`.  Raises StorageError if the key cannot be
    written.
    """
    next_key_path = keys_folder / _NEXT_KEY_FILE
    try:
        next_key_path.unlink(missing_ok=True)
        return signers + _generate_key(next_key_path)
    except OSError as error:
        raise _unusable_key_error(next_key_path, error) from None


def install_next_key(keys_folder: Path, signers: bytes) -> None:
    """Make the prepared key the key in use if ``signers`` ends with its line; otherwise delete the prepared key.

    ``signers`` is the journalled text of ``allowed_signers``.  It is also written to the file of that name, unless
    a prepared key is deleted.  If no key is prepared, an error of writing the file is ignored.

    After a crash, the journal may name the new key while the folder still has the old key in use.  The recovery
    then calls this function again.  A prepared key that a crash cut off while it was generated is deleted: no
    event names it, and nothing could be written while it stayed.

    Raises OSError if the prepared key cannot be read or the disk cannot be written.
    """
    next_key_path = keys_folder / _NEXT_KEY_FILE
    if not is_there(next_key_path):
        # The file is derived from the journal.  If the folder is read-only, an old file must not stop the writer.
        with suppress(OSError):
            write_signers(keys_folder, signers)
        return
    try:
        is_journalled = signers.endswith(_signers_line(_parse_key(next_key_path, next_key_path.read_bytes())))
    except StorageError:
        # A crash cut the key off while it was generated.
        is_journalled = False
    if not is_journalled:
        next_key_path.unlink()
        return
    # The key is renamed last: until then, a crash leaves the prepared key, and this function is repeated.
    write_signers(keys_folder, signers)
    next_key_path.rename(keys_folder / _KEY_FILE)
    sync_path(os.fspath(keys_folder))


def check_folder_writable(keys_folder: Path) -> None:
    """Raise StorageError if this process cannot write to the keys folder, for example on a read-only mount."""
    if not os.access(keys_folder, os.W_OK):
        raise StorageError(
            "The keys folder {path} cannot be written. Nothing was changed. Make it writable, then run this "
            "again.",
            path=keys_folder,
        )


def write_signers(keys_folder: Path, signers: bytes) -> None:
    """Write the text ``signers`` to the file ``allowed_signers``, durably; raises OSError.

    Does nothing if the file has the same text already.  A crash leaves either the old or the new file in place.
    """
    signers_path = keys_folder / _SIGNERS_FILE
    if is_there(signers_path) and signers_path.read_bytes() == signers:
        return
    new_signers_path = keys_folder / "allowed_signers.new"
    new_signers_path.unlink(missing_ok=True)
    _write_new_file(new_signers_path, signers, _PUBLIC_MODE)
    new_signers_path.rename(signers_path)
    sync_path(os.fspath(keys_folder))


def copy_keys(keys_folder: Path, target_folder: Path) -> None:
    """Copy the key and ``allowed_signers`` to the folder ``target_folder``, which is created if missing.

    Only the caller's user may read the copies.  Raises OSError if a copy cannot be written or exists already, and
    StorageError if the copied key cannot be read back or differs.
    """
    target_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file_name in (_KEY_FILE, _SIGNERS_FILE):
        _write_new_file(target_folder / file_name, (keys_folder / file_name).read_bytes(), _OWNER_MODE)
    if _signers_line(_load_key(target_folder / _KEY_FILE)) != _signers_line(_load_key(keys_folder / _KEY_FILE)):
        raise _unusable_key_error(target_folder / _KEY_FILE, "it is not what was copied")


def _generate_key(path: Path) -> bytes:
    """Write a new private key to ``path``, which must not exist; return its line for ``allowed_signers``."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private_bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    _write_new_file(path, private_bytes, _OWNER_MODE)
    return _signers_line(key)


def _signers_line(key: Ed25519PrivateKey) -> bytes:
    """Return the line of ``allowed_signers`` that makes OpenSSH and git accept signatures by ``key``."""
    from cryptography.hazmat.primitives import serialization

    public_bytes = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f"{PRINCIPAL} {_NAMESPACES} {public_bytes.decode()}\n".encode()


def allow_heads(signers: bytes) -> bytes:
    """Return ``signers``, an ``allowed_signers`` of the old format 1, with the last key allowed to sign heads."""
    *earlier_lines, last_line = signers.splitlines(keepends=True)
    return b"".join(earlier_lines) + last_line.replace(_FORMAT_1_NAMESPACES.encode(), _NAMESPACES.encode(), 1)


def _load_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key; raises StorageError if it is missing, damaged or not an Ed25519 key."""
    try:
        return _parse_key(path, path.read_bytes())
    except OSError as error:
        raise _unusable_key_error(path, error) from None


def _parse_key(path: Path, key_bytes: bytes) -> Ed25519PrivateKey:
    """Return the private key in the bytes of the file ``path``; raises StorageError as :func:`_load_key` does."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_ssh_private_key(key_bytes, password=None)
    except ValueError as error:
        raise _unusable_key_error(path, error) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable_key_error(path, "it is not an Ed25519 key")
    return key


def _unusable_key_error(path: Path, reason: object) -> StorageError:
    """Return the error for the key at ``path``; the message contains ``reason``."""
    return StorageError(
        "Cannot use the signing key {path} ({reason}). Nothing was recorded. Restore it from a backup of the "
        "keys folder. If there is no backup, run: archiver key replace",
        path=path,
        reason=reason,
    )


def _write_new_file(path: Path, file_content: bytes, file_mode: int) -> None:
    """Write a new file durably, with exactly ``file_mode`` regardless of the umask.

    Raises FileExistsError if ``path`` exists, OSError if the file cannot be written.
    """
    file_descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file_mode)
    with open(file_descriptor, "wb") as new_file:
        os.fchmod(file_descriptor, file_mode)
        new_file.write(file_content)
        new_file.flush()
        os.fsync(file_descriptor)


class SigningKey:
    """The archive's private key, read into memory for several signatures."""

    def __init__(self, keys_folder: Path, *, is_next_key: bool = False) -> None:
        """Read the key in use, or with ``is_next_key`` the prepared one.

        Raises StorageError if it is missing, damaged or not an Ed25519 key.
        """
        from cryptography.hazmat.primitives import serialization

        self._key = _load_key(keys_folder / (_NEXT_KEY_FILE if is_next_key else _KEY_FILE))
        public_key = self._key.public_key()
        raw_public_key = public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self._encoded_public_key = _ssh_string(b"ssh-ed25519") + _ssh_string(raw_public_key)

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ``ssh-keygen -l`` prints it: ``SHA256:`` and base64 without padding."""
        digest = hashlib.sha256(self._encoded_public_key).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    def is_last_of(self, signers: bytes) -> bool:
        """Return True if this key is in the last line of ``signers``, and so is the key in force.

        ``signers`` is the journalled text of ``allowed_signers``; False if the text is empty.
        """
        last_line = signers.splitlines()[-1] if signers else b""
        return base64.b64encode(self._encoded_public_key) in last_line.split()

    def sign(self, message: bytes, namespace: str = GIT_NAMESPACE) -> str:
        """Return the armored SSH signature of ``message`` in ``namespace``; the text ends with a line feed.

        The signature is verified first.  Raises StorageError if it is not valid, for example because of broken
        memory.
        """
        from cryptography.exceptions import InvalidSignature

        # PROTOCOL.sshsig puts namespace, reserved field and hash algorithm into the signed data and into the
        # signature.
        signing_parameters = _ssh_string(namespace.encode()) + _ssh_string(b"") + _ssh_string(b"sha512")
        signed_data = b"SSHSIG" + signing_parameters + _ssh_string(hashlib.sha512(message).digest())
        raw_signature = self._key.sign(signed_data)
        try:
            self._key.public_key().verify(raw_signature, signed_data)
        except InvalidSignature:
            raise StorageError(
                "The signature is not valid right after it was made. Nothing was recorded. Check the memory of "
                "this machine."
            ) from None
        signature_blob = b"".join(
            (
                b"SSHSIG",
                struct.pack(">I", _SIGNATURE_VERSION),
                _ssh_string(self._encoded_public_key),
                signing_parameters,
                _ssh_string(_ssh_string(b"ssh-ed25519") + _ssh_string(raw_signature)),
            )
        )
        return _armor_signature(signature_blob)


def sign_message(keys_folder: Path, message: bytes) -> str:
    """Sign ``message`` for git with the key in ``keys_folder``; return the armored SSH signature.

    Raises StorageError if there is no usable key.
    """
    return SigningKey(keys_folder).sign(message)


def _ssh_string(data: bytes) -> bytes:
    """Encode ``data`` as a string of the SSH protocol (RFC 4251): its length in four bytes, then the data."""
    return struct.pack(">I", len(data)) + data


def _armor_signature(signature_blob: bytes) -> str:
    """Return ``signature_blob`` in base64 between the lines that begin and end an SSH signature."""
    base64_text = base64.b64encode(signature_blob).decode("ascii")
    line_starts = range(0, len(base64_text), _ARMOR_COLUMNS)
    base64_lines = [base64_text[start : start + _ARMOR_COLUMNS] for start in line_starts]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *base64_lines, "-----END SSH SIGNATURE-----", ""])
