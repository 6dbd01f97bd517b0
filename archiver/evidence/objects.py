"""Checking git's own files: settings, hooks, loose objects, packs."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from pathlib import Path

from archiver.evidence.findings import Report
from archiver.store import guard
from archiver.store.repository import Repository

_LOOSE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}")
_KNOWN_FILES = frozenset({"HEAD", "config", "packed-refs", "description", "FETCH_HEAD"})
_KNOWN_FOLDERS = frozenset({"hooks", "info", "lfs", "logs", "objects", "refs", "branches"})


def check_repository(repository: Repository, report: Report) -> None:
    """Settings, hooks, every object file, and git's own check."""
    path = repository.path
    _check_settings(path, report)
    _check_strays(path, report)
    for folder, _, files in os.walk(path / "objects"):
        for name in sorted(files):
            _check_object_file(Path(folder) / name, path / "objects", report)
    for line in repository.fsck():
        report.add("A010", path.name, line)


def _check_settings(path: Path, report: Report) -> None:
    if _read(path / "config") != guard.CONFIG.encode():
        report.add("A001", "archive.git/config", "compare it with docs/design.md")
    if _read(path / "HEAD") != guard.HEAD.encode():
        report.add("A003", "archive.git/HEAD")
    for name, text in guard.HOOKS.items():
        hook = path / "hooks" / name
        if _read(hook) != text.encode() or not os.access(hook, os.X_OK):
            report.add("A002", f"archive.git/hooks/{name}")
    for name in ("objects/info/alternates", "objects/info/http-alternates", "shallow", "info/grafts"):
        if (path / name).exists():
            report.add("A004", f"archive.git/{name}")


def _check_strays(path: Path, report: Report) -> None:
    for entry in os.scandir(path):
        known = _KNOWN_FOLDERS if entry.is_dir(follow_symlinks=False) else _KNOWN_FILES
        if entry.name not in known and not entry.name.endswith(".lock"):
            report.add("A005", f"archive.git/{entry.name}")
    hooks = set(os.listdir(path / "hooks")) if (path / "hooks").is_dir() else set()
    for name in sorted(hooks - guard.HOOKS.keys()):
        report.add("A002", f"archive.git/hooks/{name}", "this hook is not the archive's")


def _check_object_file(file: Path, objects: Path, report: Report) -> None:
    name = file.relative_to(objects).as_posix()
    where = f"archive.git/objects/{name}"
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
    if not stat.S_ISREG(os.lstat(file).st_mode):
        report.add("A005", where, "it is not a plain file")


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
    except OSError:
        return b""
