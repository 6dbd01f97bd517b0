"""Putting the repository's settings and hooks back, and remembering what stood there until it is journalled.

Only under the writer's lock.  Crash window: files are put back and the event is not written yet; the
note ``settings.replaced`` beside the repository survives, and the next writer journals it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from archiver.errors import StorageError
from archiver.store.events.archive_events import SettingsReplaced
from archiver.store.fsync import sync_filesystem, sync_path
from archiver.store.git import hooks, repository_format
from archiver.store.git.hooks import FOREIGN, Deviation
from archiver.store.repair import set_aside

_NOTE = "settings.replaced"
_LONGEST_BYTES = 1 << 20


def put_back(root: Path, *, foreign: bool) -> None:
    """Replace what an earlier release or git-lfs wrote, and what is missing; with ``foreign`` everything else too.

    Raises StorageError without ``foreign`` where something foreign stands there, and with it where it
    cannot be replaced.
    """
    repository = root / "archive.git"
    found = hooks.deviations(repository)
    if not foreign:
        hooks.refuse_foreign(repository, found)
    if not found:
        return
    if repository_format.keeps_refs_in_tables(repository):
        # With our settings over its own, git would find no ref any more.
        raise repository_format.reftable_problem(repository)
    before = noted(root)
    _note(root, [*before, *_events(found)])
    for each in found:
        try:
            _replace(root, each)
        except OSError as error:
            # What is known is safe to run git on: a file that an administrator made immutable stops no capture.
            if each.reason == FOREIGN:
                raise StorageError(
                    "{path} cannot be replaced ({reason}). No archived data was lost. Check who owns it, and take "
                    "it away by hand as root.",
                    path=repository / each.name,
                    reason=error.strerror,
                ) from None
    sync_filesystem(root)
    left = {each.name for each in hooks.deviations(repository)}
    # On a filesystem without execute bits a hook never is as it should be: no event at every writing.
    _note(root, [*before, *_events([each for each in found if each.name not in left])])


def noted(root: Path) -> list[SettingsReplaced]:
    """Return what was replaced and is not journalled yet, one event for each reason."""
    try:
        with open(root / _NOTE, "rb") as stream:
            document = json.loads(stream.read(_LONGEST_BYTES))
    except (OSError, ValueError):
        # Nothing was replaced, or a power cut took the note before a file was.
        return []
    entries = document if isinstance(document, list) else []
    return [SettingsReplaced.from_details(entry) for entry in entries if isinstance(entry, dict)]


def forget(root: Path) -> None:
    """Drop the note: the journal has it."""
    (root / _NOTE).unlink(missing_ok=True)


def _replace(root: Path, deviation: Deviation) -> None:
    repository, name = root / "archive.git", deviation.name
    if deviation.reason == FOREIGN:
        # As it is and unread, a pipe or a folder too: what nobody knows is evidence.
        set_aside.put_away(root, repository / name)
    if name == "hooks":
        for hook in hooks.HOOKS:
            hooks.put(repository, f"hooks/{hook}")
    elif name in hooks.texts():
        hooks.put(repository, name)
    else:
        (repository / name).unlink(missing_ok=True)


def _events(found: Sequence[Deviation]) -> list[SettingsReplaced]:
    """Return one event for each reason."""
    return [
        SettingsReplaced(
            replaced=[each.name for each in found if each.reason == reason],
            reason=reason,
            found={each.name: each.sha256 for each in found if each.reason == reason},
        )
        for reason in dict.fromkeys(each.reason for each in found)
    ]


def _note(root: Path, replaced: list[SettingsReplaced]) -> None:
    if not replaced:
        forget(root)
        return
    aside = root / f"{_NOTE}.new"
    aside.write_text(json.dumps([each.to_details() for each in replaced]), encoding="ascii")
    sync_path(os.fspath(aside))
    aside.rename(root / _NOTE)
