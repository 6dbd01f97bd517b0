"""Recognize stand-ins: files and links in the place of a document whose content is somewhere else.

A stand-in is no litter: it shows that a submission lacks a document.  It is archived as it is, except for a link.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from archiver.config.settings import Config
from archiver.intake.exclusion.pointer_files import DOCUMENT_SUFFIXES, POINTER_FILES_BY_SUFFIX
from archiver.intake.layout import Group, locate_path
from archiver.intake.path_reasons import EMPTY_DOCUMENT, LINK_CODE, OUTSIDE_LINK, POINTER_FILE
from archiver.intake.snapshot import SkippedPath


class StandIn(NamedTuple):
    """A path of the watched folder that stands for a document."""

    group: Group  # the submission that lacks the document
    path: SkippedPath  # with the reason

    def as_json(self) -> dict[str, str | None]:
        """Return the form for ``status --json``; the submission is None if submissions are numbered."""
        submission = self.group.submission()
        name = None if self.group.submission_folder is None else submission.name
        return {**self.path.as_json(), "filing": submission.filing, "submission": name}


def find_stand_in(path: bytes, size: int) -> SkippedPath | None:
    """Return ``path`` with the reason if a file with this name and size is a stand-in, otherwise None."""
    stem, _, suffix = path.rpartition(b"/")[2].lower().rpartition(b".")
    if not stem:
        return None
    if suffix in POINTER_FILES_BY_SUFFIX:
        return SkippedPath(path, POINTER_FILE.code, suffix.decode())
    if size == 0 and suffix in DOCUMENT_SUFFIXES:
        return SkippedPath(path, EMPTY_DOCUMENT.code)
    return None


def find_in_folder(prefix: bytes, names_and_sizes: Iterable[tuple[bytes, int]]) -> list[SkippedPath]:
    """Return the stand-ins among files with these names and sizes; ``prefix`` is the path of their folder."""
    stand_ins = (find_stand_in(prefix + name, size) for name, size in names_and_sizes)
    return [stand_in for stand_in in stand_ins if stand_in is not None]


def select_stand_ins(
    stand_in_files: Iterable[SkippedPath], skipped: Iterable[SkippedPath], config: Config
) -> list[StandIn]:
    """Return the stand-ins that a scan of the watched folder found, each with its submission, sorted by path.

    ``stand_in_files`` are files, and ``skipped`` the paths that are not archived, among them links.  A link is a
    stand-in if it leads out of the folder of its submission: what it leads to is not archived with the submission.
    """
    paths = list(stand_in_files)
    for skipped_path in skipped:
        if skipped_path.code == LINK_CODE and _leads_outside(skipped_path.path, skipped_path.value, config):
            paths.append(SkippedPath(skipped_path.path, OUTSIDE_LINK.code, skipped_path.value))
    return [StandIn(locate_path(path.path, config.layout).group, path) for path in sorted(paths)]


def _leads_outside(path: bytes, target_text: str, config: Config) -> bool:
    """Return True if the link at ``path`` leads to ``target_text`` outside of the folder of its submission.

    Only the text of the link is compared: nothing in the watched folder is looked up, because it may hang.  An
    empty text, which an earlier release stored, is not known to lead outside.
    """
    if not target_text:
        return False
    root, target = os.fsencode(config.watch), os.fsencode(target_text)
    target_path = posixpath.normpath(posixpath.join(root, posixpath.dirname(path), target))
    if not target_path.startswith(root + b"/"):
        return True
    relative_target = target_path[len(root) + 1 :]
    return locate_path(relative_target, config.layout).group != locate_path(path, config.layout).group
