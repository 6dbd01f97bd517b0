"""Write a git object to a single file (a "loose" object), without starting git for it."""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from contextlib import suppress


def write_loose_object(objects_folder: str, kind: str, body: bytes) -> str:
    """Write an object of ``kind``, such as ``tag``; return its id.

    The bytes are durable when the file gets its final name, and the name after the caller has synced the
    filesystem: after a power cut, there is no empty object.  Mode and temporary name are those that git itself
    would use.  Raises OSError.
    """
    content = b"%s %d\0%s" % (kind.encode("ascii"), len(body), body)
    oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    fan_out_folder = f"{objects_folder}/{oid[:2]}"
    path = f"{fan_out_folder}/{oid[2:]}"
    with suppress(FileExistsError):
        os.mkdir(fan_out_folder)
    temporary_path = f"{fan_out_folder}/tmp_obj_{secrets.token_hex(6)}"
    descriptor = os.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(zlib.compress(content, 1))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary_path, path)
    except OSError:
        os.unlink(temporary_path)
        raise
    return oid
