"""``archiver diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import ObjectName, json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage
from archiver.model import Change, Op, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archiver.cli.console import Console
    from archiver.store.archive import Archive

_OPERATION_NAMES = {
    Op.ADD: LazyMessage("added"),
    Op.MODIFY: LazyMessage("modified"),
    Op.DELETE: LazyMessage("deleted"),
    Op.RENAME: LazyMessage("renamed"),
    Op.MKDIR: LazyMessage("folder added"),
    Op.RMDIR: LazyMessage("folder deleted"),
}


@command("Show the differences between two versions: added, modified, deleted, and renamed files.")
@click.argument("old_tag", type=ObjectName(), metavar="TAG")
@click.argument("new_tag", type=ObjectName(), metavar="TAG")
@json_option
@click.option("--text", "with_text", is_flag=True, help="Also show the lines that differ in documents.")
def diff_command(session: Session, old_tag: str, new_tag: str, as_json: bool, with_text: bool) -> None:
    """Print the changes from the old to the new version.

    If both versions were submitted, files about a submission, such as receipts, are not compared, because they are
    not part of the submission.  With ``with_text``, also prints the differing lines of each modified document,
    which the JSON output never contains.  Raises NotFoundError for an unknown tag.
    """
    from archiver.filings.version_differences import compare_submitted_versions
    from archiver.store.resolve import find_version

    archive = session.open_archive()
    old_version, new_version = (find_version(archive, tag) for tag in (old_tag, new_tag))
    changes, left_out_paths = compare_submitted_versions(archive.index, old_version, new_version)
    console = session.console
    if as_json:
        console.print_json([_change_to_dict(change) for change in changes])
        return
    if not changes:
        console.info("{old} and {new} contain the same files.", old=old_version.tag, new=new_version.tag)
    for change in changes:
        _print_change(console, change)
    for path in left_out_paths:
        console.info("Not compared, because it is about a submission: {path}", path=path)
    if with_text:
        _print_text_changes(console, archive, old_version, changes)


def _change_to_dict(change: Change) -> dict[str, Any]:
    """Convert a change to a dict for ``--json``, whose keys must never change.

    The member ``from`` is the earlier path of a renamed file, and None for other changes.
    """
    from archiver.store.names import name_as_text

    return {
        "op": change.op.value,
        "path": name_as_text(change.path),
        "from": None if change.source is None else name_as_text(change.source),
        "sha256": change.sha256,
        "size": change.size,
    }


def _print_change(console: Console, change: Change) -> None:
    """Print the operation and the path of a change, and the earlier path of a renamed file."""
    from archiver.store.names import name_as_text

    path_text = name_as_text(change.path)
    earlier_path_text = "" if change.source is None else f"{name_as_text(change.source)} -> "
    operation_name = console.translate(_OPERATION_NAMES[change.op])
    # A tab in a path would break the columns.
    console.print_line(f"{operation_name}  {earlier_path_text}{path_text}".replace("\t", "  "))


def _print_text_changes(
    console: Console, archive: Archive, old_version: Version, changes: Iterable[Change]
) -> None:
    """Print the differing lines of each document that was modified after ``old_version``.

    ``changes`` are all changes from ``old_version`` to the newer version; only modifications are considered.
    """
    from archiver.documents.cache import open_document_cache
    from archiver.documents.reader import DocumentReader
    from archiver.filings.version_differences import compare_texts
    from archiver.store.names import name_as_text

    with DocumentReader(open_document_cache(archive)) as reader:
        for text_change in compare_texts(archive.index, archive.content, reader, old_version, changes):
            console.print_line("")
            console.print_line(name_as_text(text_change.change.path))
            if text_change.problem:
                console.info("  only partly compared: {problem}", problem=text_change.problem)
            for differing_line in text_change.lines:
                console.print_line(f"  {differing_line}")
