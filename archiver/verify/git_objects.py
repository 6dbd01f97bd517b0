"""Check git's own files: settings, hooks, loose objects and packs."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath

from archiver.errors import LazyMessage
from archiver.path_existence import is_folder, is_plain_file, is_there
from archiver.store.git import hooks
from archiver.store.git.repository import Repository
from archiver.verify.findings import VerifyReport, untranslated

#: Path of a loose object below ``objects``: its SHA-1 in hexadecimal, with a slash after two digits.
_LOOSE_OBJECT_PATH = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}")
#: Names of files and folders that git creates at the top of a repository.
_ALLOWED_FILE_NAMES = frozenset({"HEAD", "config", "packed-refs", "description", "FETCH_HEAD"})
_ALLOWED_FOLDER_NAMES = frozenset({"hooks", "info", "lfs", "logs", "objects", "refs", "branches"})
#: Length of a SHA-1. Packs and git's pack indexes end with the SHA-1 of all bytes before it.
_TRAILER_BYTES = 20
#: Length of the Adler-32 checksum at the end of a zlib stream.
_ZLIB_CHECKSUM_BYTES = 4
#: The headers that zlib writes, one per level of compression.
_ZLIB_HEADERS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
#: Bytes of a pack that are read at once.
_CHUNK_BYTES = 1 << 20

# Codes of findings. MEANING_BY_CODE explains them to the user.
_ALTERED_HOOK, _FOREIGN_OBJECTS, _UNEXPECTED_FILE = "A002", "A004", "A005"
_FSCK_ERROR, _DAMAGED_PACK, _DAMAGED_OBJECT = "A010", "A011", "A012"
#: Code of the finding for an altered file, by name in the repository. Any other file, unless it is a hook, has the
#: code _FOREIGN_OBJECTS, because it makes git read objects from elsewhere.
_CODE_BY_FILE_NAME = {"config": "A001", "HEAD": "A003"}
#: Notes about deviations that the next writing command repairs, by the reason of the deviation.
_HARMLESS_DEVIATIONS = {
    hooks.EARLIER: LazyMessage(
        "{file} was written by an earlier release. The next writing command replaces the file."
    ),
    hooks.GIT_LFS: LazyMessage(
        "git-lfs ran in the archive and changed {file}. The next writing command restores the file."
    ),
}

#: Details of findings about all other deviations, by the reason of the deviation.
_FAULTY_DEVIATIONS = {
    hooks.MISSING: LazyMessage.define("missing", context="file"),
    hooks.NOT_EXECUTABLE: LazyMessage("not executable"),
    hooks.ALTERED: LazyMessage("altered"),
    hooks.FOREIGN: LazyMessage("foreign"),
}


def check_git_repository(repository: Repository, report: VerifyReport) -> None:
    """Check settings, hooks and every object file, then report each problem that ``git fsck`` finds as A010.

    Raises StorageError if git cannot be run.
    """
    check_git_files(repository.path, report)
    if (special_file := _find_special_file(repository.path / "objects")) is not None:
        detail = LazyMessage("{file} is no regular file, so git fsck was not run", file=special_file)
        report.add_finding(_FSCK_ERROR, repository.path.name, detail)
        return
    for problem_line in repository.fsck():
        report.add_finding(_FSCK_ERROR, repository.path.name, untranslated(problem_line))


def _find_special_file(objects_folder: Path) -> str | None:
    """Return the path of a file below ``objects_folder`` for which git would wait: a pipe, device or socket.

    A link to a folder, which could contain such a file, counts as well.  The path is relative to the repository.
    Returns None if there is no such file.
    """
    for folder, folder_names, file_names in os.walk(objects_folder):
        for folder_name in sorted(folder_names):
            if stat.S_ISLNK(os.lstat(Path(folder, folder_name)).st_mode):
                return Path(folder, folder_name).relative_to(objects_folder.parent).as_posix()
        for file_name in sorted(file_names):
            path = Path(folder, file_name)
            if is_there(path) and not is_plain_file(path):
                return path.relative_to(objects_folder.parent).as_posix()
    return None


def check_git_files(repository_path: Path, report: VerifyReport) -> None:
    """Check settings, hooks and every object file, without running git.

    Call this instead of :func:`check_git_repository` for an archive that cannot be opened: git would obey altered
    settings, and would misread refs or objects in a repository of another format.
    """
    _check_settings_and_hooks(repository_path, report)
    _check_unknown_files(repository_path, report)
    for folder, _, file_names in os.walk(repository_path / "objects"):
        for file_name in sorted(file_names):
            # A writer may rename a temporary file or pack a loose object after it was listed. Objects that are
            # really missing are reported by git fsck.
            with suppress(FileNotFoundError):
                _check_object_file(Path(folder) / file_name, repository_path / "objects", report)


def _check_settings_and_hooks(repository_path: Path, report: VerifyReport) -> None:
    """Report settings and hooks that differ from those of an archive, and files that hide part of the history.

    A deviation that the next writing command repairs is a note. Any other deviation is a finding: A001 for
    ``config``, A003 for ``HEAD``, A002 for a hook, and A004 for any other file.
    """
    for deviation in hooks.deviations(repository_path):
        display_name = f"archive.git/{deviation.name}"
        if harmless_deviation := _HARMLESS_DEVIATIONS.get(deviation.reason):
            report.add_note(display_name, harmless_deviation.with_fields(file=display_name))
        else:
            is_hook = deviation.name.startswith("hooks")
            code = _ALTERED_HOOK if is_hook else _CODE_BY_FILE_NAME.get(deviation.name, _FOREIGN_OBJECTS)
            report.add_finding(code, display_name, _FAULTY_DEVIATIONS[deviation.reason])


def _check_unknown_files(repository_path: Path, report: VerifyReport) -> None:
    """Report files at the top and in the hooks folder that neither git nor this program creates (A005).

    Git's lock files are allowed, because a writer may be active.
    """
    for entry in os.scandir(repository_path):
        is_folder_entry = entry.is_dir(follow_symlinks=False)
        allowed_names = _ALLOWED_FOLDER_NAMES if is_folder_entry else _ALLOWED_FILE_NAMES
        if entry.name not in allowed_names and not entry.name.endswith(".lock"):
            report.add_finding(_UNEXPECTED_FILE, f"archive.git/{entry.name}")
    hooks_folder = repository_path / "hooks"
    file_names = os.listdir(hooks_folder) if is_folder(hooks_folder) else []
    for file_name in sorted(file_names):
        if not hooks.is_hook_name(file_name):
            report.add_finding(_UNEXPECTED_FILE, f"archive.git/hooks/{file_name}")


def _check_object_file(path: Path, objects_folder: Path, report: VerifyReport) -> None:
    """Report a file below ``objects_folder`` that is damaged, or that git does not create.

    The bytes of a loose object must match its name (A012), and a pack or a pack index must end with a valid
    checksum (A011). Any other file is unexpected (A005), except for git's temporary files and its folder ``info``.
    A file that is not regular, such as a link, is unexpected as well. The target of a link is checked
    nevertheless. No other special file is read, because reading a pipe would wait for a writer.

    Raises FileNotFoundError if the file was removed after it was listed.
    """
    relative_path = path.relative_to(objects_folder).as_posix()
    display_name = f"archive.git/objects/{relative_path}"
    if not stat.S_ISREG(os.lstat(path).st_mode):
        report.add_finding(_UNEXPECTED_FILE, display_name, LazyMessage("it is not a regular file"))
        if not is_plain_file(path):
            return
    if _LOOSE_OBJECT_PATH.fullmatch(relative_path):
        oid = relative_path.replace("/", "")
        if problem := find_loose_object_problem(_read_or_empty(path), oid):
            report.add_finding(_DAMAGED_OBJECT, display_name, problem)
    elif _is_pack_file(relative_path):
        if not _has_valid_trailer(path):
            report.add_finding(_DAMAGED_PACK, display_name, LazyMessage("its checksum does not match"))
    elif not _is_temporary_or_info(relative_path):
        report.add_finding(_UNEXPECTED_FILE, display_name)


def _is_pack_file(relative_path: str) -> bool:
    """Return True for the path, below git's folder ``objects``, of a pack or of one of git's pack indexes."""
    # Unlike endswith(), this does not accept the name ".pack", which git never creates.
    has_pack_suffix = PurePosixPath(relative_path).suffix in (".pack", ".idx", ".rev")
    return relative_path == "pack/multi-pack-index" or (relative_path.startswith("pack/") and has_pack_suffix)


def _is_temporary_or_info(relative_path: str) -> bool:
    """Return True for the path, below git's folder ``objects``, of a file that verify does not check.

    These are git's temporary files, and the files in the folder ``info``.
    """
    return "/tmp_" in relative_path or relative_path.startswith("info/")


def find_loose_object_problem(file_bytes: bytes, oid: str) -> LazyMessage | None:
    """Return what is wrong with ``file_bytes``, the file of the loose object ``oid``; None if it is sound.

    ``oid`` is the SHA-1 of the object in hexadecimal. The check is stricter than that of git: the header and the
    padding of the compressed data are checked as well, so a change of any single bit is detected.
    """
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(file_bytes)
    except zlib.error as error:
        return untranslated(error)
    if not decompressor.eof or decompressor.unused_data:
        return LazyMessage("it does not end where expected")
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != oid:
        return LazyMessage("its content does not match its name")
    if file_bytes[:2] not in _ZLIB_HEADERS or _has_altered_padding(file_bytes, content):
        return LazyMessage("its compressed data was altered")
    return None


def _has_altered_padding(file_bytes: bytes, content: bytes) -> bool:
    """Return True if one of the unused bits at the end of the compressed ``file_bytes`` was set.

    The compressed data rarely fill their last byte, and a compressor sets the unused bits to zero. So this
    function clears the highest set bit of the last byte before zlib's checksum. If ``file_bytes`` still
    decompresses to ``content``, that bit was an unused one.
    """
    compressed, checksum = file_bytes[:-_ZLIB_CHECKSUM_BYTES], file_bytes[-_ZLIB_CHECKSUM_BYTES:]
    last_byte = compressed[-1]
    if last_byte == 0:
        return False
    highest_set_bit = 1 << (last_byte.bit_length() - 1)
    cleared_byte = bytes([last_byte & ~highest_set_bit])
    decompressor = zlib.decompressobj()
    try:
        content_without_bit = decompressor.decompress(compressed[:-1] + cleared_byte + checksum)
    except zlib.error:
        # The bit is in use: without it, the data are invalid.
        return False
    return decompressor.eof and not decompressor.unused_data and content_without_bit == content


def _has_valid_trailer(path: Path) -> bool:
    """Return True if the file ends with the SHA-1 of all bytes before it, as packs and pack indexes do.

    Reads the file in chunks, because a pack can be larger than the memory. Raises OSError if reading fails.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    size = path.stat().st_size
    with open(path, "rb") as stream:
        remaining_bytes = size - _TRAILER_BYTES
        while remaining_bytes > 0 and (chunk := stream.read(min(remaining_bytes, _CHUNK_BYTES))):
            digest.update(chunk)
            remaining_bytes -= len(chunk)
        return size > _TRAILER_BYTES and stream.read() == digest.digest()


def _read_or_empty(path: Path) -> bytes:
    """Return the bytes of a file, or no bytes if it cannot be read. Raises FileNotFoundError if it is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError:
        # An empty file is not a sound object, so the caller reports an unreadable object like a damaged one.
        return b""
