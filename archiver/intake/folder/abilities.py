"""Try what the system lets this process do in the watched folder; what is missing is named together with its cost.

Containers and some filesystems lack abilities on which capturing relies.  The program makes up for them as far as
possible, and ``archiver status`` lists them.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.change_times import ChangeTimes
from archiver.store.content.source import SourceChanged, StatData

#: The files to try.  With fewer, the files of another user may be missed; more take time at each full scan.
_SAMPLE_SIZE = 20
#: Fewer files than this may have been changed at whole seconds, or replaced by copies, by chance.
_MIN_SUSPECT_FILES = 3
_SECOND_NS = 1_000_000_000
#: The number of the capability, see capabilities(7) and linux/capability.h.
_CAP_LEASE = 28
#: Without leases, a file must be unchanged for this many quiet periods: a copy over a network often pauses for
#: longer than one of them (5 s by default).  The sentence of LEASES names this number.
_QUIET_PERIODS_WITHOUT_LEASES = 12

LEASES = LazyMessage.define(
    "cannot detect whether a file is still open for writing ({value}); so a file must be unchanged for 12 times "
    "watch.settle_seconds before it is captured",
    code="ability.leases",
)
FINE_CLOCK = LazyMessage.define(
    "the filesystem stores the times of changes in whole seconds; so recently changed files are read twice",
    code="ability.fine-clock",
)
CHANGE_TIME = LazyMessage.define(
    "the filesystem ({value}) does not store when a file was changed, only a modification time that programs can "
    "set; so a change that keeps size and time is found when the files are read again: before submit, and by the "
    "service every watch.reread_days days",
    code="ability.change-time",
)
INODE_NUMBERS = LazyMessage.define(
    "the filesystem gives unchanged files other inode numbers; so all files are read again after each scan",
    code="ability.inode-numbers",
)
_ABILITIES = {ability.code: ability for ability in (LEASES, FINE_CLOCK, CHANGE_TIME, INODE_NUMBERS)}


class MissingAbility(NamedTuple):
    """An ability that is missing, as stored in ``state.db``."""

    code: str
    value: str = ""  # for the field ``{value}`` of the sentence

    @property
    def sentence(self) -> LazyMessage:
        """Return what is missing, and what that costs; "CODE: VALUE" for a code of a newer release."""
        ability = _ABILITIES.get(self.code)
        if ability is None:
            return LazyMessage("{code}: {value}", code=self.code, value=self.value)
        return ability.with_fields(value=self.value)

    def as_json(self) -> dict[str, str]:
        """Return the item of ``status --json``; the sentence is English."""
        return {"code": self.code, "reason": str(self.sentence)}


def find_missing_abilities(
    access: FolderAccess,
    real_path: bytes,
    new_files: Iterable[bytes],
    known_states: Iterable[tuple[bytes, StatData]] = (),
) -> list[MissingAbility]:
    """Try the abilities on some files below ``real_path``; return the missing ones.

    ``real_path`` is the watched folder's path without links.  ``new_files`` are not archived yet, and
    ``known_states`` are archived files with their states.  Of a remote filesystem, neither leases nor fine times
    are expected.
    """
    known_sample = list(islice(known_states, _SAMPLE_SIZE))
    sample = chain(new_files, (path for path, _ in known_sample))
    missing = _try_on_files(access, sample) if access.proves_writers else []
    if filesystem := ChangeTimes(real_path).filesystem_without_ctime:
        missing.append(MissingAbility(CHANGE_TIME.code, filesystem))
    if _have_other_inodes(access, known_sample):
        missing.append(MissingAbility(INODE_NUMBERS.code))
    return missing


def _have_other_inodes(access: FolderAccess, known_states: Iterable[tuple[bytes, StatData]]) -> bool:
    """Return True if files are the archived ones by size and times, and all of them have other inode numbers."""
    has_same_inode = []
    for path, known_state in known_states:
        try:
            state = access.look_up(path).stat_data
        except OSError:
            # The scan reports what cannot be looked at.
            continue
        if state._replace(inode=0) == known_state._replace(inode=0):
            has_same_inode.append(state.inode == known_state.inode)
    return len(has_same_inode) >= _MIN_SUSPECT_FILES and not any(has_same_inode)


def _try_on_files(access: FolderAccess, paths: Iterable[bytes]) -> list[MissingAbility]:
    """Try leases, and the times of changes, on the first of ``paths``; return what is missing.

    A file that cannot be opened is left out.  If no file can be opened, the capabilities of this process decide
    about leases.
    """
    lease_error: int | None = None
    ctimes = []
    for path in islice(paths, _SAMPLE_SIZE):
        try:
            with closing(access.open(path)) as source:
                lease_error = lease_error or source.lease_error
                ctimes.append(source.stat_data.ctime_ns)
        except (OSError, SourceChanged):
            # The scan reports what cannot be read.
            continue
    if lease_error is None and not _has_lease_capability():
        # The first files that come may be those of other users.
        lease_error = errno.EACCES
    missing = [MissingAbility(LEASES.code, os.strerror(lease_error))] if lease_error else []
    if len(ctimes) >= _MIN_SUSPECT_FILES and not any(ctime_ns % _SECOND_NS for ctime_ns in ctimes):
        missing.append(MissingAbility(FINE_CLOCK.code))
    return missing


def count_quiet_periods(missing_abilities: Iterable[MissingAbility]) -> int:
    """Return for how many quiet periods a file must be unchanged before it is captured."""
    return _QUIET_PERIODS_WITHOUT_LEASES if LEASES.code in {each.code for each in missing_abilities} else 1


def _has_lease_capability() -> bool:
    """Return True if this process may request a lease on each file, by CAP_LEASE; also if that cannot be read."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        [effective] = [line for line in status.splitlines() if line.startswith("CapEff:")]
        return bool(int(effective.split()[1], 16) >> _CAP_LEASE & 1)
    except (OSError, ValueError, IndexError):
        return True


def encode_abilities(missing_abilities: Sequence[MissingAbility]) -> str:
    """Return the text for ``state.db`` that :func:`decode_abilities` reads; empty if none is missing."""
    return json.dumps(missing_abilities) if missing_abilities else ""


def decode_abilities(stored_text: str) -> list[MissingAbility]:
    """Return the abilities in a text of ``state.db``; none if it has another form, which only a stranger wrote."""
    try:
        return [MissingAbility(str(code), str(value)) for code, value in json.loads(stored_text or "[]")]
    except (ValueError, TypeError):
        return []
