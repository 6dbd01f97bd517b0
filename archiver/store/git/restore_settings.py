"""Restore the repository's settings and hooks, and remember all replacements until journalled.

Only under the writer's lock.  If the process crashes after files were restored and before the event is written,
the note ``settings.replaced`` in the archive's folder remains, and the next writer journals it.
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
#: More than any note has; a longer file is not ours.
_LONGEST_BYTES = 1 << 20


def put_back(root: Path, *, foreign: bool) -> None:
    """Restore settings files and hooks if missing, or if written by an earlier release or git-lfs.

    With ``foreign``, files that nobody knows are replaced, too, and set aside; without it, they stay.  Raises
    StorageError if a foreign file cannot be replaced, or if the repository keeps its refs in the reftable format.
    """
    repository = root / "archive.git"
    found = [each for each in hooks.deviations(repository) if foreign or each.reason != FOREIGN]
    if not found:
        return
    if repository_format.keeps_refs_in_tables(repository):
        # Our settings would hide that format from git, which would then find no refs.
        raise repository_format.reftable_problem(repository)
    before = noted(root)
    _note(root, [*before, *_events(found)])
    for each in found:
        try:
            _replace(root, each)
        except OSError as error:
            # Git can safely run with any other file: one that an administrator made immutable stops no capture.
            if each.reason == FOREIGN:
                raise StorageError(
                    "Cannot replace {path} ({reason}). No archived data was lost. Check the owner, and remove "
                    "the file manually as root.",
                    path=repository / each.name,
                    reason=error.strerror,
                ) from None
    sync_filesystem(root)
    left = {each.name for each in hooks.deviations(repository)}
    # On a filesystem without execute bits, a hook always deviates.  It must not be journalled at every writing.
    _note(root, [*before, *_events([each for each in found if each.name not in left])])


def noted(root: Path) -> list[SettingsReplaced]:
    """Return the events for replacements not journalled yet, one for each reason; usually none."""
    from archiver.store.events.archive_events import SettingsReplaced

    try:
        with open(root / _NOTE, "rb") as stream:
            document = json.loads(stream.read(_LONGEST_BYTES))
    except (OSError, ValueError):
        # Nothing was replaced, or a power cut took the note before a file was replaced.
        return []
    entries = document if isinstance(document, list) else []
    return [SettingsReplaced.from_details(entry) for entry in entries if isinstance(entry, dict)]


def forget(root: Path) -> None:
    """Delete the note, because the events are journalled."""
    (root / _NOTE).unlink(missing_ok=True)


def _replace(root: Path, deviation: Deviation) -> None:
    """Write our file, or delete a forbidden file; a foreign file is set aside first. Raises OSError."""
    repository, name = root / "archive.git", deviation.name
    if deviation.reason == FOREIGN:
        # Moved, and neither read nor deleted: a file of unknown origin is evidence.  It may be a pipe or a folder.
        set_aside.put_away(root, repository / name)
    if name == "hooks":
        for hook in hooks.HOOKS:
            hooks.put(repository, f"hooks/{hook}")
    elif name in hooks.texts():
        hooks.put(repository, name)
    else:
        (repository / name).unlink(missing_ok=True)


def _events(found: Sequence[Deviation]) -> list[SettingsReplaced]:
    """Return an event for each reason, to record the replacement of the found files."""
    from archiver.store.events.archive_events import SettingsReplaced

    return [
        SettingsReplaced(
            replaced=[each.name for each in found if each.reason == reason],
            reason=reason,
            found={each.name: each.sha256 for each in found if each.reason == reason},
        )
        for reason in dict.fromkeys(each.reason for each in found)
    ]


def _note(root: Path, replaced: list[SettingsReplaced]) -> None:
    """Replace the note by a list of events; if empty, delete the note. Raises OSError."""
    if not replaced:
        forget(root)
        return
    aside = root / f"{_NOTE}.new"
    aside.write_text(json.dumps([each.to_details() for each in replaced]), encoding="ascii")
    sync_path(os.fspath(aside))
    aside.rename(root / _NOTE)
