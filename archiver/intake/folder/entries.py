"""The results of reading the watched folder, except file content, and their form in a child process's answers.

An answer is a JSON array: ``["ok", value]``, ``["error", errno, reason]``, ``["own", path]`` for a file of the
archive, or ``["unstable"]`` for a file that changed.  Each decoder raises TypeError, ValueError, LookupError or
AttributeError for a value of another form, because a child may send anything.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from archiver.store.content.own_files import OwnFile
from archiver.store.content.source import SourceChanged, StatData
from archiver.workers import name_to_text, text_to_name

_Answer = TypeVar("_Answer")


class DirectoryEntry(NamedTuple):
    """A name in a folder, with the file's type and state."""

    name: bytes
    mode: int  # ``st_mode``
    stat_data: StatData  # differs after every change of the file
    is_own: bool = False  # True if the file or folder belongs to the archive
    error: str | None = None  # why the file or folder cannot be examined; the mode and the state mean nothing then


class RootIdentity(NamedTuple):
    """The fields of ``stat`` that identify the watched folder."""

    device: int
    inode: int
    mode: int  # ``st_mode``; the path may lead to a file
    uuid: str = ""  # of the filesystem; empty if the kernel does not report one
    fsid: str = ""  # ``f_fsid`` of the filesystem in hexadecimal; empty if it cannot be read


class OpenedFile(NamedTuple):
    """A child's answer about a file just opened."""

    is_being_written: bool  # True if a process of this machine has the file open for writing
    allocated_bytes: int  # on the filesystem of the file
    stat_data: StatData  # at opening


class ReportedError(NamedTuple):
    """An error that a child reports in place of a result, for the parent to raise."""

    error: OSError | SourceChanged


def encode_entry(entry: DirectoryEntry) -> tuple[Any, ...]:
    """Return an entry for :func:`decode_entry`: name, mode, is_own, error, and the fields of the StatData."""
    return (name_to_text(entry.name), entry.mode, entry.is_own, entry.error, *entry.stat_data)


def decode_outcome(decode_value: Callable[[Any], _Answer], answer: Any) -> _Answer | ReportedError:
    """Return the value in ``answer``, decoded by ``decode_value``, or the error that the child reports.

    Raises ValueError if ``answer`` has none of the forms in this module's description, and the errors of
    ``decode_value``.
    """
    match answer:
        case ["ok", value]:
            return decode_value(value)
        case ["error", int(error_number), str(reason)]:
            return ReportedError(OSError(error_number, reason))
        case ["own", str(path)]:
            return ReportedError(OwnFile(text_to_name(path)))
        case ["unstable"]:
            return ReportedError(SourceChanged())
    raise ValueError("not an answer about a folder")


def decode_names(encoded_names: Any) -> list[bytes]:
    """Return the names in a folder."""
    return [text_to_name(name) for name in encoded_names]


def decode_entry(encoded_entry: Any) -> DirectoryEntry:
    """Return an entry that :func:`encode_entry` encoded."""
    name, mode, is_own, error, *stat_fields = encoded_entry
    return DirectoryEntry(
        text_to_name(name),
        operator.index(mode),
        _decode_stat_data(stat_fields),
        bool(is_own),
        None if error is None else _check_text(error),
    )


def decode_entries(encoded_entries: Any) -> list[DirectoryEntry]:
    """Return the entries of a folder, each encoded by :func:`encode_entry`."""
    return [decode_entry(encoded_entry) for encoded_entry in encoded_entries]


def decode_opened(encoded_file: Any) -> OpenedFile:
    """Decode the answer about an opened file: the fields of OpenedFile, with those of StatData."""
    is_being_written, allocated_bytes, *stat_fields = encoded_file
    return OpenedFile(bool(is_being_written), operator.index(allocated_bytes), _decode_stat_data(stat_fields))


def decode_root(encoded_identity: Any) -> RootIdentity:
    """Return the identity of the watched folder: device, inode, mode, UUID and ``f_fsid`` of the filesystem."""
    *numbers, uuid, fsid = encoded_identity
    device, inode, mode = map(operator.index, numbers)
    return RootIdentity(device, inode, mode, _check_text(uuid), _check_text(fsid))


def _check_text(value: Any) -> str:
    """Return ``value``, a text; raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _decode_stat_data(stat_fields: list[Any]) -> StatData:
    """Return the StatData with the given fields, in order; raises TypeError unless given four integers."""
    # operator.index, because int would accept a text and round a float.
    return StatData(*map(operator.index, stat_fields))
