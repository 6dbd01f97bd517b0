"""Restore the settings and hooks of the repository, and note each replaced file until an event records it.

The caller holds the writer's lock.  If the process crashes after files were replaced and before the event is
written, the note ``settings.replaced`` in the archive's folder remains, and the next writer journals it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import StorageError
from archiver.store.fsync import sync_filesystem, sync_path
from archiver.store.git import hooks, repository_format
from archiver.store.git.hooks import FOREIGN, Deviation
from archiver.store.repair import set_aside

if TYPE_CHECKING:
    from archiver.store.events.archive_events import SettingsReplaced

#: The note: a JSON list with the details of the events to be written.
_NOTE = "settings.replaced"
#: More bytes than any note has; a longer file is not ours.
_MAX_NOTE_BYTES = 1 << 20


def put_back(root: Path, *, foreign: bool) -> None:
    """Restore the settings files and hooks of the repository, and note each replaced file for the journal.

    With ``foreign`` False, foreign files stay: those with a text that neither archiver nor git-lfs writes.  With
    ``foreign``, these are set aside and replaced, too.

    Raises StorageError if a foreign file cannot be replaced, or if the repository keeps its refs in the reftable
    format.
    """
    repository = root / "archive.git"
    deviations = [item for item in hooks.deviations(repository) if foreign or item.reason != FOREIGN]
    if not deviations:
        return
    if repository_format.keeps_refs_in_tables(repository):
        # Our settings would hide that format from git, which would then find no refs.
        raise repository_format.reftable_problem(repository)
    earlier_events = noted(root)
    _write_note(root, [*earlier_events, *_build_events(deviations)])
    for deviation in deviations:
        try:
            _replace(root, deviation)
        except OSError as error:
            # Git can safely run with any other file: if an administrator made it immutable, capturing goes on.
            if deviation.reason == FOREIGN:
                raise StorageError(
                    "Cannot replace {path} ({reason}). No archived data was lost. Check the owner, and remove "
                    "the file manually as root.",
                    path=repository / deviation.name,
                    reason=error.strerror,
                ) from None
    sync_filesystem(root)
    deviating_names = {deviation.name for deviation in hooks.deviations(repository)}
    # Keep only files that were really replaced in the note.  On a filesystem without execute bits, a hook always
    # differs, and each write to the archive would journal a replacement.
    replaced = [deviation for deviation in deviations if deviation.name not in deviating_names]
    _write_note(root, [*earlier_events, *_build_events(replaced)])


def noted(root: Path) -> list[SettingsReplaced]:
    """Return the events for replaced files that no event records yet, one for each reason; usually none."""
    try:
        with open(root / _NOTE, "rb") as stream:
            document = json.loads(stream.read(_MAX_NOTE_BYTES))
    except (OSError, ValueError):
        # Nothing was replaced, or a power cut destroyed the note before a file was replaced.
        return []
    # Imported here because the events' modules take a tenth of the start of a scheduled run.
    from archiver.store.events.archive_events import SettingsReplaced

    entries = document if isinstance(document, list) else []
    return [SettingsReplaced.from_details(entry) for entry in entries if isinstance(entry, dict)]


def forget(root: Path) -> None:
    """Delete the note, because its events are in the journal now; raises OSError."""
    (root / _NOTE).unlink(missing_ok=True)


def _replace(root: Path, deviation: Deviation) -> None:
    """Replace a file by the text of this release, or delete a file that must not exist. Raises OSError.

    A foreign file is set aside first.
    """
    repository, name = root / "archive.git", deviation.name
    if deviation.reason == FOREIGN:
        # Moved instead of deleted, because a file of unknown origin is evidence.  It is not read, because it may
        # be a pipe or a folder.
        set_aside.put_away(root, repository / name)
    if name == "hooks":
        for hook in hooks.HOOKS:
            hooks.put(repository, f"hooks/{hook}")
    elif name in hooks.texts():
        hooks.put(repository, name)
    else:
        (repository / name).unlink(missing_ok=True)


def _build_events(deviations: Sequence[Deviation]) -> list[SettingsReplaced]:
    """Return one event for each reason, with the files that were replaced for this reason."""
    from archiver.store.events.archive_events import SettingsReplaced

    return [
        SettingsReplaced(
            replaced=[deviation.name for deviation in deviations if deviation.reason == reason],
            reason=reason,
            found={deviation.name: deviation.sha256 for deviation in deviations if deviation.reason == reason},
        )
        for reason in dict.fromkeys(deviation.reason for deviation in deviations)
    ]


def _write_note(root: Path, replaced: list[SettingsReplaced]) -> None:
    """Write a note with the events ``replaced``, or delete the note if there are none. Raises OSError."""
    if not replaced:
        forget(root)
        return
    new_path = root / f"{_NOTE}.new"
    new_path.write_text(json.dumps([event.to_details() for event in replaced]), encoding="ascii")
    sync_path(os.fspath(new_path))
    new_path.rename(root / _NOTE)
