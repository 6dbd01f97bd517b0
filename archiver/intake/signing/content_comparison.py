"""Compare files with the archive by their bytes, where their state does not tell whether they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import closing

from archiver.config.settings import Config
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.mounts import find_filesystem_without_ctime
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import Snapshot, State
from archiver.model import Material
from archiver.store.content.source import SourceChanged, StatData

_READ_BYTES = 1 << 20


def correct_by_contents(
    changed_states: Mapping[bytes, State],
    materials: Iterable[Material],
    access: FolderAccess,
    snapshot: Snapshot,
    config: Config,
    group: Group,
) -> dict[bytes, State]:
    """Return the changed paths of a group, after reading the files whose state tells nothing.

    These are the files without a state in ``snapshot``, as after its loss or during a scheduled reading, and all
    files if the filesystem does not store when a file was changed.  ``materials`` are those of the newest version.
    A file that cannot be read keeps its place in ``changed_states``, or its absence from it.
    """
    are_all_read = bool(find_filesystem_without_ctime(config.watch))
    prefix = group.prefix + b"/" if group.prefix else b""
    digests = {prefix + material.path: material.sha256 for material in materials}
    corrected_states = dict(changed_states)
    with access.opened_in_turn() as open_file:
        for path, stored_state in snapshot.file_entries(group.prefix):
            if not (are_all_read or stored_state == StatData.unknown()):
                continue
            is_present = isinstance(changed_states.get(path, stored_state), StatData)
            if not is_present or locate_path(path, config.layout).group != group:
                continue
            try:
                with closing(open_file(path)) as source:
                    digest, state = hashlib.sha256(), source.stat_data
                    buffer = memoryview(bytearray(_READ_BYTES))
                    while read_count := source.readinto(buffer):
                        digest.update(buffer[:read_count])
            except (OSError, SourceChanged):
                continue
            if digest.hexdigest() == digests.get(path):
                corrected_states.pop(path, None)
            else:
                corrected_states[path] = state
    return corrected_states
