"""Detect encrypted folders whose key is not loaded (fscrypt, on ext4, F2FS, UBIFS, and CephFS).

Such a folder can be listed without an error, but the names are encoded ciphertext.  Compared with the archive,
every file would look deleted.
"""

from __future__ import annotations

import fcntl
import os
import struct

#: FS_IOC_GETFLAGS, and the flag FS_ENCRYPT_FL of an encrypted folder.
_GET_FLAGS_REQUEST, _ENCRYPTED_FLAG = 0x80086601, 0x00000800
#: FS_IOC_GET_ENCRYPTION_POLICY_EX: a size (u64), then the policy of at most 24 bytes; the first is the version.
_GET_POLICY_REQUEST, _MAX_POLICY_BYTES = 0xC0096616, 24
#: FS_IOC_GET_ENCRYPTION_KEY_STATUS: a key specifier of 40 bytes, 24 reserved bytes, the status (u32), and more.
_GET_KEY_STATUS_REQUEST, _KEY_STATUS_OFFSET, _KEY_STATUS_BYTES = 0xC080661A, 64, 128
_KEY_IS_PRESENT = 2
#: Where a policy of version 2 has the identifier of its key, and the type of this key in a key specifier.
_POLICY_VERSION, _IDENTIFIER_PART, _IDENTIFIER_TYPE = 2, slice(8, 24), 2


def is_locked(folder_descriptor: int) -> bool:
    """Return True if an open folder is encrypted, and the key is not loaded.

    ``folder_descriptor`` may be an ``O_PATH`` descriptor.  Returns False for a filesystem without encryption, and
    for a policy of version 1, whose keys the kernel cannot be asked for.  Raises OSError if the folder cannot be
    opened.
    """
    readable_descriptor = os.open(b"/proc/self/fd/%d" % folder_descriptor, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _is_encrypted(readable_descriptor) and not _is_key_present(readable_descriptor)
    finally:
        os.close(readable_descriptor)


def _is_encrypted(folder_descriptor: int) -> bool:
    """Return True if the folder has the flag of an encrypted folder."""
    flags = bytearray(8)
    try:
        fcntl.ioctl(folder_descriptor, _GET_FLAGS_REQUEST, flags)
    except OSError:
        # The filesystem has no flags.
        return False
    return bool(struct.unpack_from("=I", flags)[0] & _ENCRYPTED_FLAG)


def _is_key_present(folder_descriptor: int) -> bool:
    """Return True if the key of an encrypted folder is loaded, or if the kernel cannot be asked for the key."""
    policy = bytearray(struct.pack("=Q", _MAX_POLICY_BYTES) + bytes(_MAX_POLICY_BYTES))
    try:
        fcntl.ioctl(folder_descriptor, _GET_POLICY_REQUEST, policy)
        policy_bytes = policy[8:]
        if policy_bytes[0] != _POLICY_VERSION:
            return True
        specifier = struct.pack("=II", _IDENTIFIER_TYPE, 0) + bytes(policy_bytes[_IDENTIFIER_PART])
        key_status = bytearray(specifier.ljust(_KEY_STATUS_BYTES, b"\0"))
        fcntl.ioctl(folder_descriptor, _GET_KEY_STATUS_REQUEST, key_status)
    except OSError:
        # A kernel before 5.4.
        return True
    return bool(struct.unpack_from("=I", key_status, _KEY_STATUS_OFFSET)[0] == _KEY_IS_PRESENT)
