"""Checking git's own files: settings, hooks, loose objects, packs."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path

from archiver.errors import Phrase
from archiver.existence import is_folder, is_there
from archiver.store.git import hooks
from archiver.store.git.repository import Repository
from archiver.verify.findings import VerifyReport

_LOOSE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}")
_KNOWN_FILES = frozenset({"HEAD", "config", "packed-refs", "description", "FETCH_HEAD"})
_KNOWN_FOLDERS = frozenset({"hooks", "info", "lfs", "logs", "objects", "refs", "branches"})


#: File -> its number; every other one is a hook, or leads out of the archive.
_CODES = {"config": "A001", "HEAD": "A003"}
_NOTES = {
    hooks.EARLIER: "{file} is as an earlier release wrote it. The next command that writes replaces it.",
    hooks.GIT_LFS: "git-lfs ran in the archive and added to {file}. The next command that writes puts it right.",
}


def check_repository(repository: Repository, report: VerifyReport) -> None:
    """Settings, hooks, every object file, and git's own check."""
    check_files(repository.path, report)
    for line in repository.fsck():
        report.add("A010", repository.path.name, line)


def check_files(path: Path, report: VerifyReport) -> None:
    """What can be checked without git: settings, hooks, every object file."""
    _check_settings(path, report)
    _check_strays(path, report)
    for folder, _, files in os.walk(path / "objects"):
        for name in sorted(files):
            # A writer renames temporary files and packs loose objects meanwhile; fsck names what is missing.
            with suppress(FileNotFoundError):
                _check_object_file(Path(folder) / name, path / "objects", report)


def _check_settings(path: Path, report: VerifyReport) -> None:
    for each in hooks.deviations(path):
        if note := _NOTES.get(each.reason):
            report.note(f"archive.git/{each.name}", Phrase(note, file=f"archive.git/{each.name}"))
        else:
            code = "A002" if each.name.startswith("hooks") else _CODES.get(each.name, "A004")
            report.add(code, f"archive.git/{each.name}", each.reason)
    for name in ("shallow", "info/grafts"):
        if is_there(path / name):
            report.add("A004", f"archive.git/{name}")


def _check_strays(path: Path, report: VerifyReport) -> None:
    for entry in os.scandir(path):
        known = _KNOWN_FOLDERS if entry.is_dir(follow_symlinks=False) else _KNOWN_FILES
        if entry.name not in known and not entry.name.endswith(".lock"):
            report.add("A005", f"archive.git/{entry.name}")
    hook_files = os.listdir(path / "hooks") if is_folder(path / "hooks") else ()
    for name in sorted(name for name in hook_files if not hooks.is_hook_name(name)):
        report.add("A005", f"archive.git/hooks/{name}")


def _check_object_file(file: Path, objects: Path, report: VerifyReport) -> None:
    """Report what is wrong with a file of git's.  Raises FileNotFoundError if it is gone since it was listed."""
    name = file.relative_to(objects).as_posix()
    where = f"archive.git/objects/{name}"
    if not stat.S_ISREG(os.lstat(file).st_mode):
        report.add("A005", where, "it is not a plain file")
    if _LOOSE.fullmatch(name):
        problem = loose_problem(_read(file), name.replace("/", ""))
        if problem:
            report.add("A012", where, problem)
    elif name == "pack/multi-pack-index" or (
        name.startswith("pack/") and file.suffix in (".pack", ".idx", ".rev")
    ):
        if not _trailer_holds(file):
            report.add("A011", where, "its checksum does not hold")
    elif "/tmp_" not in name and not name.startswith("info/"):
        report.add("A005", where)


def loose_problem(data: bytes, oid: str) -> str:
    """What is wrong with a loose object's file; empty if nothing.

    Stricter than git: bits after the end of the compressed data count too, so
    that no byte of the file can change unseen.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data)
    except zlib.error as error:
        return str(error)
    if not stream.eof or stream.unused_data:
        return "it does not end where it should"
    if hashlib.sha1(plain, usedforsecurity=False).hexdigest() != oid:
        return "its bytes do not have its name"
    if data[:2] not in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda") or _has_padding(data, plain):
        return "its compressed form was altered"
    return ""


def _has_padding(data: bytes, plain: bytes) -> bool:
    """Whether unused bits at the end are set: the top bit can be cleared without effect."""
    last = data[-5]
    if last == 0:
        return False
    cleared = bytes([last & ~(1 << (last.bit_length() - 1))])
    stream = zlib.decompressobj()
    try:
        again = stream.decompress(data[:-5] + cleared + data[-4:])
    except zlib.error:
        return False
    return stream.eof and not stream.unused_data and again == plain


def _trailer_holds(file: Path) -> bool:
    """Packs, and indexes of each kind, end with the SHA-1 of all before."""
    digest = hashlib.sha1(usedforsecurity=False)
    size = file.stat().st_size
    with open(file, "rb") as stream:
        left = size - 20
        while left > 0 and (chunk := stream.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
        return size > 20 and stream.read() == digest.digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError:
        return b""
