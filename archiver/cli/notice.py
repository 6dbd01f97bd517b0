"""``archiver notice``.

A *notice* is a document from the regulator about a filing. A *paper* is a file in the notice folder. A paper is
*unrecorded* until a recorded notice has this file as its attachment.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.actions.client import open_attachment
from archiver.cli.parameters import (
    NamedChoice,
    ObjectName,
    ReadableFile,
    RecordedText,
    day_option,
    file_name_to_record,
    json_option,
    reported_by_option,
)
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage, UsageError, shell_word
from archiver.filings.code_names import NOTICE_KIND_NAMES, deadline_state_name, name_for_code
from archiver.naming.ref_names import to_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archiver.cli.console import Console
    from archiver.filings.due.deadlines import Deadline
    from archiver.filings.notice_parser import NoticeProposal
    from archiver.filings.register import Notice
    from archiver.filings.unrecorded_papers import UnrecordedPaper


notice_command = command_group("Manage the regulator's notices and their answers.")


@command("Record a notice. With only --file, read its text and suggest a command.")
@click.argument("filing", type=ObjectName())
@click.option("--kind", type=NamedChoice(NOTICE_KIND_NAMES), metavar="KIND", help="Notice kind.")
@day_option("--received", "received_on", "Date on which the notice was received.")
@day_option("--due", "due_on", "Deadline stated in the notice.")
@click.option(
    "--days",
    "working_days",
    type=click.IntRange(1, 366),
    metavar="N",
    help=("Deadline in working days after receipt, instead of --due."),
)
@click.option("--issuer", type=RecordedText(), default="", metavar="NAME", help="Issuing authority.")
@click.option(
    "--document",
    "document_number",
    type=RecordedText(),
    default="",
    metavar="NO",
    help="Document number of the notice.",
)
@click.option(
    "--owner",
    type=RecordedText(),
    default="",
    metavar="NAME",
    help=("Person who answers (default: the responsible person)."),
)
@click.option(
    "--file",
    "notice_file",
    type=ReadableFile(),
    metavar="FILE",
    help="Notice document, used for suggestions and stored with the record.",
)
@reported_by_option("Name of the person reporting this, recorded in addition to the login name.")
def _add_notice(
    session: Session,
    filing: str,
    kind: str | None,
    received_on: date | None,
    due_on: date | None,
    working_days: int | None,
    issuer: str,
    document_number: str,
    owner: str,
    notice_file: Path | None,
    reported_by: str | None,
) -> None:
    """Journal a notice, or only print a proposed command if ``--kind`` or ``--received`` is missing.

    Raises UsageError if ``--file`` is missing in the second case, if the file cannot be attached, or if a value is
    not possible, and NotFoundError for an unknown filing.
    """
    from archiver.actions.filing_actions import AddNotice

    proposal = _read_proposal(session, notice_file) if notice_file else None
    if kind is None or received_on is None:
        if proposal is None or notice_file is None:
            raise UsageError(
                "A notice requires --kind and --received. Nothing was recorded. With only --file, archiver reads "
                "the document and suggests a command."
            )
        session.console.info("Suggested from the document; nothing was recorded. Check it, then run:")
        session.console.print_line(_format_proposed_command(filing, notice_file, proposal))
        return
    added_notice = session.perform(
        AddNotice(
            filing_name=filing,
            kind=kind,
            received_on=received_on,
            due_on=due_on,
            working_days=working_days,
            issuer=issuer,
            document_number=document_number,
            owner=owner,
            file_name=file_name_to_record(notice_file),
            reported_by=reported_by,
        ),
        notice_file,
    )
    console = session.console
    console.info(
        "Recorded notice {number} of {filing}.", number=added_notice["number"], filing=added_notice["filing"]
    )
    if proposal and proposal.due_on and due_on is None and working_days is None:
        console.warn(
            "The document seems to state an answer due {due}. This date was not recorded; the current deadline "
            "is the program's suggestion. To use the date, record the notice with --due.",
            due=proposal.due_on.isoformat(),
        )


def _read_proposal(session: Session, notice_file: Path) -> NoticeProposal:
    """Read the text of a notice in a child process, and return guesses at the values; record nothing.

    All guesses are empty for a file without readable text.  Raises UsageError if the file cannot be attached.
    """
    from archiver.documents.reader import DocumentReader
    from archiver.filings.notice_parser import parse_notice

    filing_names = {submission.filing.for_people for submission in session.open_archive().index.submissions()}
    # The attachment is opened only to refuse a pipe, among others: the reader could wait forever for its writer.
    with open_attachment(notice_file), DocumentReader() as reader:
        document = reader.read(notice_file, notice_file.name)
        return parse_notice(document.lines, sorted(filing_names))


def _format_proposed_command(filing: str, notice_file: Path, proposal: NoticeProposal) -> str:
    """Return a command, quoted for the shell, that records the notice with the guessed values.

    The filing is the one named in the notice, or ``filing`` if the notice names no filing or several.  A missing
    kind or day becomes a placeholder in capitals, which the command refuses until a person replaces it.
    """
    named_filing = proposal.filing_names[0] if len(proposal.filing_names) == 1 else filing
    command_words: list[object] = ["archiver", "notice", "add", to_readable(named_filing)]
    command_words += ["--kind", proposal.kind or "KIND"]
    command_words += ["--received", proposal.received_on.isoformat() if proposal.received_on else "DATE"]
    if proposal.due_on:
        command_words += ["--due", proposal.due_on.isoformat()]
    elif proposal.working_days:
        command_words += ["--days", str(proposal.working_days)]
    if proposal.document_number:
        command_words += ["--document", proposal.document_number]
    return " ".join(map(shell_word, [*command_words, "--file", notice_file]))


@command("Record the submission that answers notice N of archiver notice list.")
@click.argument("number", type=int, metavar="N")
@click.option(
    "--submission",
    required=True,
    type=ObjectName(),
    metavar="FILING/SUBMISSION",
    help="Submission folder that answers the notice.",
)
@day_option("--on", "answered_on", "Date of the answer (default: the submission date).")
@reported_by_option("Name of the person reporting this, recorded in addition to the login name.")
def _answer_notice(
    session: Session, number: int, submission: str, answered_on: date | None, reported_by: str | None
) -> None:
    from archiver.actions.filing_actions import AnswerNotice

    answer_result = session.perform(
        AnswerNotice(
            notice_number=number, submission_name=submission, answered_on=answered_on, reported_by=reported_by
        )
    )
    session.console.info(
        "Notice {number} was answered on {on} with {submission}.",
        number=number,
        on=answer_result["on"],
        submission=answer_result["submission"],
    )


@command("List the notices, and documents in the notice folder that are not recorded yet.")
@json_option
def _list_notices(session: Session, as_json: bool) -> None:
    """Print the notices of all filings by number, then the papers that are not recorded yet."""
    from archiver import clock
    from archiver.filings.due.deadlines import compute_deadlines
    from archiver.filings.register import filings_from_events
    from archiver.filings.unrecorded_papers import find_unrecorded_papers

    archive = session.open_archive()
    filing_by_name = filings_from_events(archive.index.life_events())
    deadline_by_uid = {deadline.uid: deadline for deadline in compute_deadlines(filing_by_name.values())}
    today = clock.today(session.config.zone)
    notices = [notice for filing in filing_by_name.values() for notice in filing.notices]
    unrecorded_papers = find_unrecorded_papers(
        archive, session.config.desk.notice_folder_name, filing_by_name.values()
    )
    notice_documents = [
        _notice_to_dict(notice, deadline_by_uid.get(f"{notice.filing}:notice:{notice.number}"), today)
        for notice in sorted(notices, key=lambda notice: notice.number)
    ]
    if as_json:
        session.console.print_json(
            {
                "notices": notice_documents,
                "unclaimed": [{"submission": paper.submission, "path": paper.path} for paper in unrecorded_papers],
            }
        )
    else:
        _print_notices(session.console, notice_documents, unrecorded_papers, session.config.watch)


def _notice_to_dict(notice: Notice, deadline: Deadline | None, today: date) -> dict[str, Any]:
    """Convert a notice, with the state on ``today``, to a dict for ``--json``, whose keys must never change.

    Days are ISO 8601.  ``deadline`` is the deadline of the answer, or None for a notice that needs no answer, such
    as a revocation.
    """
    return {
        "number": notice.number,
        "filing": notice.filing,
        "kind": notice.kind,
        "issuer": notice.issuer,
        "document": notice.document_number,
        "received": notice.received_on.isoformat(),
        "due": deadline.due_on.isoformat() if deadline else None,
        "basis": deadline.basis if deadline else None,
        "provisional": deadline.is_provisional if deadline else False,
        "state": deadline.state(today) if deadline else "done",
        "owner": notice.owner,
        "answer": notice.answer_submission,
        "answered_on": notice.answered_on.isoformat() if notice.answered_on else None,
        "file": notice.paper_name,
    }


def _print_notices(
    console: Console,
    notice_documents: Sequence[dict[str, Any]],
    unrecorded_papers: Sequence[UnrecordedPaper],
    watched_folder: Path,
) -> None:
    """Print dicts from :func:`_notice_to_dict` as a table, then a line for each unrecorded paper."""
    if not notice_documents and not unrecorded_papers:
        console.info("There are no notices.")
    if notice_documents:
        headings = (
            LazyMessage("Notice"),
            LazyMessage("Filing"),
            LazyMessage("Kind"),
            LazyMessage("Received"),
            LazyMessage("Due"),
            LazyMessage("State"),
            LazyMessage("Answered by"),
        )
        column_keys = ("number", "filing", "kind", "received", "due", "state", "answer")
        notice_rows = [
            [_format_cell(console, notice_document, column_key) for column_key in column_keys]
            for notice_document in notice_documents
        ]
        console.print_table(headings, notice_rows)
    for paper in unrecorded_papers:
        console.info(
            "Unrecorded document: {path} in {submission}. To read it and get the command that records it, run: "
            "archiver notice add {filing!q} --file {file!q}",
            path=paper.path,
            submission=paper.submission,
            filing=paper.filing,
            file=watched_folder / os.fsdecode(paper.watched_path),
        )


def _format_cell(console: Console, notice_document: dict[str, Any], column_key: str) -> str:
    """Return a value from the dict of a notice as text: a code is translated, and None becomes a dash."""
    cell_value = notice_document[column_key]
    if cell_value is None:
        return "-"
    if column_key == "kind":
        return console.translate(name_for_code(cell_value, NOTICE_KIND_NAMES))
    if column_key == "state":
        return console.translate(deadline_state_name(cell_value, notice_document["basis"]))
    return str(to_readable(cell_value))


for _name, _command in (("add", _add_notice), ("answer", _answer_notice), ("list", _list_notices)):
    notice_command.add_command(_command, _name)
