"""``archiver notice``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.actions.client import open_attachment
from archiver.cli.parameters import (
    ObjectName,
    ReadableFile,
    RecordedText,
    day_option,
    file_name,
    json_option,
    reported_by_option,
)
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage, UsageError, shell_word

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.filings.notice_parser import NoticeProposal

_KINDS = ("correction", "inquiry", "refusal", "rectification", "inspection", "revocation")


notice_command = command_group("Notices of the regulator, and their answers.")


@command("Record a notice. With --file alone, its text is read and a command is proposed.")
@click.argument("filing", type=ObjectName())
@click.option("--kind", type=click.Choice(_KINDS), help="What it is.")
@day_option("--received", "received_on", "The day it came.")
@day_option("--due", "due_on", "The day by which it says to answer.")
@click.option("--days", type=click.IntRange(1, 366), metavar="N", help="Or in how many working days.")
@click.option("--issuer", type=RecordedText(), default="", metavar="NAME", help="Who sent it.")
@click.option("--document", type=RecordedText(), default="", metavar="NO", help="Its document number.")
@click.option(
    "--owner", type=RecordedText(), default="", metavar="NAME", help="Who answers it; else the responsible person."
)
@click.option(
    "--file", type=ReadableFile(), metavar="FILE", help="The notice itself; read for a proposal, and kept."
)
@reported_by_option("Who says so, beside the user the system knows.")
def _add_notice(
    session: Session,
    filing: str,
    kind: str | None,
    received_on: date | None,
    due_on: date | None,
    days: int | None,
    issuer: str,
    document: str,
    owner: str,
    file: Path | None,
    reported_by: str | None,
) -> None:
    from archiver.actions.filing_actions import AddNotice

    proposal = _read_proposal(session, file) if file else None
    if kind is None or received_on is None:
        if proposal is None or file is None:
            raise UsageError(
                "Say what came and when: --kind and --received. Nothing was recorded. With --file alone, the "
                "paper is read and a command is proposed."
            )
        session.console.info("The paper seems to say this. Nothing was recorded; check it, and run:")
        session.console.print_line(_proposed_command(filing, file, proposal))
        return
    added = session.perform(
        AddNotice(
            filing=filing,
            kind=kind,
            received_on=received_on,
            due_on=due_on,
            working_days=days,
            issuer=issuer,
            document_number=document,
            owner=owner,
            file_name=file_name(file),
            reported_by=reported_by,
        ),
        file,
    )
    console = session.console
    console.info("Notice {number} of {filing} is recorded.", number=added["number"], filing=added["filing"])
    if proposal and proposal.due and due_on is None and days is None:
        console.warn(
            "The paper seems to ask for an answer by {due}; that was not taken over, and the deadline is the "
            "program's advice. To set it, record the notice with --due.",
            due=proposal.due.isoformat(),
        )


def _read_proposal(session: Session, file: Path) -> NoticeProposal:
    """Read the notice's text, and return a guess at the content; nothing is recorded.

    Raises UsageError for a file that could not be attached.
    """
    from archiver.documents.reader import DocumentReader
    from archiver.filings.notice_parser import parse_notice

    filing_names = {submission.filing for submission in session.open_archive().index.submissions()}
    # Check the file first: a pipe would keep the reader waiting.
    with open_attachment(file), DocumentReader() as reader:
        return parse_notice(reader.read(file, file.name).lines, sorted(filing_names))


def _proposed_command(filing: str, file: Path, proposal: NoticeProposal) -> str:
    """Return the command to record the guess, quoted for the shell.

    Parts that the notice does not name are placeholders in capitals, so that nobody runs the command unread.
    """
    command_words: list[object] = [
        "archiver",
        "notice",
        "add",
        proposal.filings[0] if len(proposal.filings) == 1 else filing,
    ]
    command_words += ["--kind", proposal.kind or "KIND"]
    command_words += ["--received", proposal.received.isoformat() if proposal.received else "DATE"]
    if proposal.due:
        command_words += ["--due", proposal.due.isoformat()]
    elif proposal.days:
        command_words += ["--days", str(proposal.days)]
    if proposal.document:
        command_words += ["--document", proposal.document]
    return " ".join(map(shell_word, [*command_words, "--file", file]))


@command("Record which submission answered a notice.")
@click.argument("number", type=int, metavar="N")
@click.option(
    "--submission", required=True, type=ObjectName(), metavar="FILING/SUBMISSION", help="What answers it."
)
@day_option("--on", "answered_on", "The day of the answer; else that of the handing-in.")
@reported_by_option("Who says so, beside the user the system knows.")
def _answer_notice(
    session: Session, number: int, submission: str, answered_on: date | None, reported_by: str | None
) -> None:
    from archiver.actions.filing_actions import AnswerNotice

    answered = session.perform(
        AnswerNotice(notice_number=number, submission=submission, answered_on=answered_on, reported_by=reported_by)
    )
    session.console.info(
        "Notice {number} was answered on {on} with {submission}.",
        number=number,
        on=answered["on"],
        submission=answered["submission"],
    )


@command("List the notices, and papers in the notice folder that no notice names yet.")
@json_option
def _list_notices(session: Session, as_json: bool) -> None:
    from archiver import clock
    from archiver.filings.due.deadlines import deadlines
    from archiver.filings.register import register
    from archiver.filings.unrecorded_papers import unrecorded_papers

    archive = session.open_archive()
    filing_by_name = register(archive.index.life())
    deadlines_by_uid = {deadline.uid: deadline for deadline in deadlines(filing_by_name.values())}
    today = clock.today(session.config.zone)
    notices = [notice for filing in filing_by_name.values() for notice in filing.notices]
    unrecorded = unrecorded_papers(archive, session.config.desk.notice_folder, filing_by_name.values())
    notice_rows: list[dict[str, Any]] = []
    for notice in sorted(notices, key=lambda notice: notice.number):
        deadline = deadlines_by_uid.get(f"{notice.filing}:notice:{notice.number}")
        notice_rows.append(
            {
                "number": notice.number,
                "filing": notice.filing,
                "kind": notice.kind,
                "issuer": notice.issuer,
                "document": notice.document,
                "received": notice.received.isoformat(),
                "due": deadline.on.isoformat() if deadline else None,
                "basis": deadline.basis if deadline else None,
                "provisional": deadline.provisional if deadline else False,
                "state": deadline.state(today) if deadline else "done",
                "owner": notice.owner,
                "answer": notice.answer,
                "answered_on": notice.answered_on.isoformat() if notice.answered_on else None,
                "file": notice.file,
            }
        )
    console = session.console
    if as_json:
        console.print_json(
            {
                "notices": notice_rows,
                "unclaimed": [{"submission": paper.submission, "path": paper.path} for paper in unrecorded],
            }
        )
        return
    if not notice_rows and not unrecorded:
        console.info("There are no notices.")
    if notice_rows:
        headings = (
            LazyMessage("Notice"),
            LazyMessage("Filing"),
            LazyMessage("Kind"),
            LazyMessage("Received"),
            LazyMessage("Due"),
            LazyMessage("State"),
            LazyMessage("Answer"),
        )
        column_keys = ("number", "filing", "kind", "received", "due", "state", "answer")
        table_rows = [[_cell_text(console, key, row[key]) for key in column_keys] for row in notice_rows]
        console.print_table(headings, table_rows)
    for paper in unrecorded:
        console.info(
            "A paper that no notice names: {path} in {submission}. Record it with: "
            "archiver notice add {filing!q} --file FILE",
            path=paper.path,
            submission=paper.submission,
            filing=paper.filing,
        )


def _cell_text(console: Console, key: str, value: Any) -> str:
    from archiver.filings.code_names import DEADLINE_STATES, NOTICE_KINDS, word_for

    if value is None:
        return "-"
    code_words = {"kind": NOTICE_KINDS, "state": DEADLINE_STATES}.get(key)
    return str(value) if code_words is None else console.translate(word_for(value, code_words))


for _name, _command in (("add", _add_notice), ("answer", _answer_notice), ("list", _list_notices)):
    notice_command.add_command(_command, _name)
