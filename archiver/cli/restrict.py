"""``archiver restrict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import ObjectName, RecordedText, json_option, reported_by_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage
from archiver.naming.ref_names import to_readable

if TYPE_CHECKING:
    from collections.abc import Mapping


@command(
    "Restrict files captured by mistake: only the archive owner can read them, and they are in no inspection "
    "package and not in the replica. Retention is unchanged, and everybody sees that they exist."
)
@click.argument("files", type=ObjectName(), nargs=-1, required=True, metavar="TAG:PATH...")
@click.option("--reason", type=RecordedText(), required=True, help="Reason, recorded in the journal.")
@reported_by_option("Person who requested the restriction, recorded in addition to the login name.")
@json_option
def restrict_command(
    session: Session, files: tuple[str, ...], reason: str, reported_by: str | None, as_json: bool
) -> None:
    """Restrict the content of each file at its path in all versions of the filing.

    Prints the restrictions, and where the same content or a copy remains readable.  Raises NotFoundError for an
    unknown version or file, UsageError for a file that is restricted already.
    """
    from archiver.actions.restriction_actions import RestrictFiles

    result = session.perform(RestrictFiles(files=files, reason=reason, reported_by=reported_by))
    if as_json:
        session.console.print_json(result)
        return
    for restricted_file in result["files"]:
        _print_restricted_file(session, restricted_file)


def _print_restricted_file(session: Session, restricted_file: Mapping[str, Any]) -> None:
    """Print the scope of a file's restriction, and where the content remains: other paths, replica, packages.

    ``restricted_file`` is a member of ``files`` in the result of the action ``restrict``.
    """
    console = session.console
    console.info(
        LazyMessage.define(
            "Restricted {path} of {filing} in {count} versions, {first} to {last}, and whenever this content is "
            "captured there again.",
            singular="Restricted {path} in {first}, and whenever this content is captured there again.",
        ),
        path=restricted_file["path"],
        filing=restricted_file["filing"],
        count=len(restricted_file["versions"]),
        first=restricted_file["versions"][0],
        last=restricted_file["versions"][-1],
    )
    for tag in restricted_file["other_contents"]:
        console.info(
            "  Not restricted: {tag} has other content at this path. To restrict it, too, run: archiver restrict "
            "{file!q} --reason TEXT",
            tag=tag,
            file=f"{to_readable(tag)}:{restricted_file['path']}",
        )
    for unrestricted_file in restricted_file["elsewhere"]:
        console.info(
            "  Not restricted: the same content is {path} in {first} to {last}, and stays readable. To restrict "
            "it, too, run: archiver restrict {file!q} --reason TEXT",
            path=unrestricted_file["path"],
            first=unrestricted_file["first"],
            last=unrestricted_file["last"],
            file=f"{to_readable(unrestricted_file['last'])}:{unrestricted_file['path']}",
        )
    if restricted_file["replica"] is not None and restricted_file["replica"]["until"]:
        console.info(
            "  In the replica: a copy is locked until {until} and cannot be deleted before. The lock is no longer "
            "extended.",
            until=session.format_time(restricted_file["replica"]["until"]),
        )
    elif restricted_file["replica"] is not None:
        console.info("  In the replica: a copy without a lock, which the next sync deletes.")
    for export in restricted_file["exports"]:
        console.info(
            "  Exported before: {target}, on {at}, for {recipient}. It may contain the file.",
            target=export["target"],
            at=session.format_time(export["at"]),
            recipient=export["recipient"] or "-",
        )
    if restricted_file["is_open"]:
        console.warn(
            "Others can still read the content of {path}, because its permissions cannot be changed. If it has "
            "the immutable flag, run as root: archiver protect --off. Then run as the archive owner: archiver "
            "maintain",
            path=restricted_file["path"],
        )
