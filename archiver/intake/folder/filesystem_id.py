"""Read the identity of an open folder's filesystem: the UUID, and the number from ``statfs``."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

#: FS_IOC_GETFSUUID (Linux 6.9): one byte with the length of the UUID, then at most 16 bytes.
_GET_UUID_REQUEST = 0x80111500
_MAX_UUID_BYTES = 16
#: Where udev has a link to the device of each filesystem, named after the UUID.
_UUID_FOLDER = "/dev/disk/by-uuid"


def read_uuid(folder_descriptor: int, device: int) -> str:
    """Return the UUID of an open folder's filesystem in hexadecimal; empty if the system reports none.

    ``folder_descriptor`` may be an ``O_PATH`` descriptor, and ``device`` is the folder's ``st_dev``.
    """
    uuid_buffer = bytearray(1 + _MAX_UUID_BYTES)
    try:
        readable_descriptor = os.open(b"/proc/self/fd/%d" % folder_descriptor, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(readable_descriptor, _GET_UUID_REQUEST, uuid_buffer)
        finally:
            os.close(readable_descriptor)
    except OSError:
        # An older kernel, another filesystem, or a folder that this user may not list: udev may know the UUID.
        return _find_uuid_of_device(device)
    # Without a UUID, such as in an image made without one, all bytes are zero.
    uuid_bytes = bytes(uuid_buffer[1 : 1 + uuid_buffer[0]])
    return uuid_bytes.hex() if any(uuid_bytes) else ""


def _find_uuid_of_device(device: int) -> str:
    """Return the UUID in hexadecimal for which udev has a link to ``device``; empty without a link."""
    # Most containers have no such folder, and links may vanish while they are read.
    with suppress(OSError):
        for uuid_text in os.listdir(_UUID_FOLDER):
            with suppress(OSError):
                if os.stat(os.path.join(_UUID_FOLDER, uuid_text)).st_rdev == device:
                    return uuid_text.replace("-", "").lower()
    return ""


def read_fsid(folder_descriptor: int) -> str:
    """Return ``f_fsid`` of an open folder's filesystem in hexadecimal; empty if unreadable or zero."""
    try:
        fsid = os.fstatvfs(folder_descriptor).f_fsid
    except OSError:
        # Such as a filesystem whose server does not answer the request for its space.
        return ""
    return f"{fsid:x}" if fsid else ""
