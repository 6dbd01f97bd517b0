"""``archiver diff``."""

from __future__ import annotations

import click

from archiver.cli.parameters import ObjectName, json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage
from archiver.model import Op

_OPERATIONS = {
    Op.ADD: LazyMessage("add"),
    Op.MODIFY: LazyMessage("modify"),
    Op.DELETE: LazyMessage("delete"),
    Op.RENAME: LazyMessage("rename"),
    Op.MKDIR: LazyMessage("mkdir"),
    Op.RMDIR: LazyMessage("rmdir"),
}


@command("What changed between two versions: added, removed, changed, renamed.")
@click.argument("old", type=ObjectName(), metavar="TAG")
@click.argument("new", type=ObjectName(), metavar="TAG")
@json_option
@click.option("--text", "with_text", is_flag=True, help="The lines of documents that differ, too.")
def diff_command(session: Session, old: str, new: str, as_json: bool, with_text: bool) -> None:
    from archiver.documents.cache import DocumentCache
    from archiver.documents.reader import DocumentReader
    from archiver.filings.version_differences import compare_versions, text_changes
    from archiver.store.names import text
    from archiver.store.resolve import find_version

    archive = session.open_archive()
    old_version, new_version = (find_version(archive, tag) for tag in (old, new))
    changes = compare_versions(archive.index, old_version, new_version)
    console = session.console
    if as_json:
        console.print_json(
            [
                {
                    "op": change.op.value,
                    "path": text(change.path),
                    "from": None if change.source is None else text(change.source),
                    "sha256": change.sha256,
                    "size": change.size,
                }
                for change in changes
            ]
        )
        return
    if not changes:
        console.info("{old} and {new} hold the same materials.", old=old_version.tag, new=new_version.tag)
    for change in changes:
        path_text = text(change.path)
        source_text = "" if change.source is None else f"{text(change.source)} -> "
        console.print_line(
            f"{console.translate(_OPERATIONS[change.op])}\t{source_text}{path_text}".replace("\t", "  ")
        )
    if with_text:
        with DocumentReader(DocumentCache(archive.root)) as reader:
            for comparison in text_changes(archive.index, archive.content, reader, old_version, changes):
                console.print_line("")
                console.print_line(text(comparison.change.path))
                if comparison.problem:
                    console.info("  not compared as a whole: {problem}", problem=comparison.problem)
                for line in comparison.lines:
                    console.print_line(f"  {line}")
