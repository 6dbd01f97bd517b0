"""Checking git's own files: settings, hooks, loose objects and packs."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.path_existence import is_folder, is_there
from archiver.store.git import hooks
from archiver.store.git.repository import Repository
from archiver.verify.findings import VerifyReport, verbatim

_LOOSE_OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}")
_ALLOWED_FILES = frozenset({"HEAD", "config", "packed-refs", "description", "FETCH_HEAD"})
_ALLOWED_FOLDERS = frozenset({"hooks", "info", "lfs", "logs", "objects", "refs", "branches"})
#: Packs and their indexes end with the SHA-1 of all bytes before.
_TRAILER_BYTES = 20
#: The headers that zlib writes, one per level of compression.
_ZLIB_HEADERS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_READ_BYTES = 1 << 20

#: File -> code of a deviation. Others are a hook, or lead out of the archive.
_CODES = {"config": "A001", "HEAD": "A003"}
_NOTES = {
    hooks.EARLIER: LazyMessage(
        "{file} is as an earlier release wrote it. The next command that writes replaces it."
    ),
    hooks.GIT_LFS: LazyMessage(
        "git-lfs ran in the archive and added to {file}. The next command that writes puts it right."
    ),
}

#: Why a setting or hook is a fault, by the code of its deviation.
_DEVIATIONS = {
    hooks.MISSING: LazyMessage.define("missing", context="file"),
    hooks.NOT_EXECUTABLE: LazyMessage("not executable"),
    hooks.ALTERED: LazyMessage("altered"),
    hooks.FOREIGN: LazyMessage("foreign"),
}


def check_repository(repository: Repository, report: VerifyReport) -> None:
    """Check settings, hooks and every object file, and run ``git fsck``."""
    check_files(repository.path, report)
    for line in repository.fsck():
        report.add_finding("A010", repository.path.name, verbatim(line))


def check_files(repository_path: Path, report: VerifyReport) -> None:
    """Check settings, hooks and every object file, without running git."""
    _check_settings(repository_path, report)
    _check_unknown_files(repository_path, report)
    for folder, _, file_names in os.walk(repository_path / "objects"):
        for file_name in sorted(file_names):
            # A writer renames temporary files and packs loose objects meanwhile; fsck names what is missing.
            with suppress(FileNotFoundError):
                _check_object_file(Path(folder) / file_name, repository_path / "objects", report)


def _check_settings(repository_path: Path, report: VerifyReport) -> None:
    """Report settings and hooks unlike the archive's own, and files that make git look elsewhere for objects.

    Deviations that the next writing command repairs are notes.
    """
    for deviation in hooks.deviations(repository_path):
        file_name = f"archive.git/{deviation.name}"
        if note := _NOTES.get(deviation.reason):
            report.add_note(file_name, note.with_fields(file=file_name))
        else:
            code = "A002" if deviation.name.startswith("hooks") else _CODES.get(deviation.name, "A004")
            report.add_finding(code, file_name, _DEVIATIONS[deviation.reason])
    for name in ("shallow", "info/grafts"):
        if is_there(repository_path / name):
            report.add_finding("A004", f"archive.git/{name}")


def _check_unknown_files(repository_path: Path, report: VerifyReport) -> None:
    for entry in os.scandir(repository_path):
        allowed_names = _ALLOWED_FOLDERS if entry.is_dir(follow_symlinks=False) else _ALLOWED_FILES
        if entry.name not in allowed_names and not entry.name.endswith(".lock"):
            report.add_finding("A005", f"archive.git/{entry.name}")
    hooks_folder = repository_path / "hooks"
    hook_files = os.listdir(hooks_folder) if is_folder(hooks_folder) else ()
    for name in sorted(name for name in hook_files if not hooks.is_hook_name(name)):
        report.add_finding("A005", f"archive.git/hooks/{name}")


def _check_object_file(path: Path, objects_folder: Path, report: VerifyReport) -> None:
    """Report a damaged or unknown file among git's objects.

    Raises FileNotFoundError if the file was removed since it was listed.
    """
    name = path.relative_to(objects_folder).as_posix()
    display_name = f"archive.git/objects/{name}"
    if not stat.S_ISREG(os.lstat(path).st_mode):
        report.add_finding("A005", display_name, LazyMessage("it is not a plain file"))
    if _LOOSE_OBJECT.fullmatch(name):
        if problem := loose_object_problem(_read_if_readable(path), name.replace("/", "")):
            report.add_finding("A012", display_name, problem)
    elif name == "pack/multi-pack-index" or (
        name.startswith("pack/") and path.suffix in (".pack", ".idx", ".rev")
    ):
        if not _has_valid_trailer(path):
            report.add_finding("A011", display_name, LazyMessage("its checksum does not hold"))
    elif "/tmp_" not in name and not name.startswith("info/"):
        report.add_finding("A005", display_name)


def loose_object_problem(data: bytes, oid: str) -> LazyMessage | None:
    """Return the fault of a loose object's file, None for a sound file.

    Stricter than git: bits after the end of the compressed data count too, so no bit of the file can change
    unseen.
    """
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(data)
    except zlib.error as error:
        return verbatim(error)
    if not decompressor.eof or decompressor.unused_data:
        return LazyMessage("it does not end where it should")
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != oid:
        return LazyMessage("its bytes do not have its name")
    if data[:2] not in _ZLIB_HEADERS or _has_set_padding(data, content):
        return LazyMessage("its compressed form was altered")
    return None


def _has_set_padding(data: bytes, content: bytes) -> bool:
    """Return True if unused bits at the end of the compressed data are set.

    A compressor leaves the padding of the last byte zero. If the top bit that is set can be cleared without any
    effect on the content, it is padding. The last four bytes are zlib's checksum.
    """
    last_byte = data[-5]
    if last_byte == 0:
        return False
    without_top_bit = bytes([last_byte & ~(1 << (last_byte.bit_length() - 1))])
    decompressor = zlib.decompressobj()
    try:
        content_again = decompressor.decompress(data[:-5] + without_top_bit + data[-4:])
    except zlib.error:
        # The bit belongs to the compressed data.
        return False
    return decompressor.eof and not decompressor.unused_data and content_again == content


def _has_valid_trailer(path: Path) -> bool:
    """Return True if the file ends with the SHA-1 of all bytes before, as packs and all their indexes do."""
    digest = hashlib.sha1(usedforsecurity=False)
    size = path.stat().st_size
    with open(path, "rb") as stream:
        remaining_bytes = size - _TRAILER_BYTES
        while remaining_bytes > 0 and (chunk := stream.read(min(remaining_bytes, _READ_BYTES))):
            digest.update(chunk)
            remaining_bytes -= len(chunk)
        return size > _TRAILER_BYTES and stream.read() == digest.digest()


def _read_if_readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError:
        # No bytes are no sound object, so this becomes a finding like any other damage.
        return b""
