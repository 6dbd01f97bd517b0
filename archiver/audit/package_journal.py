"""Write the journal of an inspection package: all events, the selected attachments, and the receipts."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

from archiver.audit.bag import BagWriter
from archiver.audit.export_selection import ExportSelection
from archiver.audit.journal_files import JournalFilesWriter
from archiver.audit.portable import PortableNames
from archiver.audit.report_model import SignedHeadCount
from archiver.model import Attachment, Event
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.attached_files import (
    CERTIFICATE_FILE,
    CERTIFICATE_PAGE,
    CERTIFICATE_SIGNATURE_FILE,
    CHANGES_FILE,
    EVIDENCE,
    PLAN_FILE,
    ROOTS_FILE,
    SIGNERS_FILE,
    TOKEN_FILE,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.filing_events import VersionSubmitted, given_paper_name

#: Attachments without which nobody can check the journal. Every package has these, whatever was selected.
_PROOFS = frozenset(
    {
        SIGNERS_FILE,
        ROOTS_FILE,
        TOKEN_FILE,
        PLAN_FILE,
        CERTIFICATE_FILE,
        CERTIFICATE_SIGNATURE_FILE,
        CERTIFICATE_PAGE,
    }
)
#: Actions whose event can attach a new list of signing keys.
_KEY_ACTIONS = frozenset({Action.INIT, Action.FORMAT, Action.KEY_ROTATE, Action.KEY_REPLACE})
#: Actions whose event has a signed tag: in the present journal format (format 2), and in the old one (format 1).
_SIGNED_ACTIONS = frozenset({Action.SUBMIT})
_SIGNED_ACTIONS_OF_FORMAT_1 = frozenset({Action.SUBMIT, Action.CHECKPOINT, Action.KEY_ROTATE})


class WrittenReceipt(NamedTuple):
    """The parts of the package that show that a version was submitted to the regulator."""

    seq: int  # the number of the event that records the submission
    path: str | None  # path of the receipt in the package; None if no receipt was attached


class WrittenJournal(NamedTuple):
    """The journal in a package."""

    events: list[Event]  # all events, oldest first
    paper_paths: dict[int, str]  # number of an event -> path in the package of its notice, screenshot or page
    signed_heads: SignedHeadCount | None  # None if all events have the old journal format, format 1


class PackageJournalWriter:
    """Writes those files of a package that come from the journal.

    Call :meth:`write`, then :meth:`write_receipts`.
    """

    def __init__(
        self,
        archive: Archive,
        bag_writer: BagWriter,
        selection: ExportSelection,
        portable_names: PortableNames,
    ) -> None:
        """Prepare to write into ``bag_writer``, under names assigned by ``portable_names``."""
        self._archive = archive
        self._bag_writer = bag_writer
        self._selection = selection
        self._portable_names = portable_names

    def write(self, submission_names: Set[str]) -> WrittenJournal:
        """Write the journal with its signed heads, signed tags and attachments.

        ``submission_names`` are the selected submissions, as FILING/SUBMISSION.  The selection restricts only the
        attachments: every event is written, because a chain with gaps proves nothing.

        Raises OSError if the disk cannot take the files, StorageError if an event or an attachment is damaged.
        """
        events, signed_heads = JournalFilesWriter(self._archive, self._bag_writer).write()
        journal = WrittenJournal(events=events, paper_paths={}, signed_heads=signed_heads)
        filing_names = {submission_name.split("/", 1)[0] for submission_name in submission_names}
        for event in journal.events:
            for attachment in event.attachments:
                if self._is_selected_paper(event, attachment, filing_names):
                    journal.paper_paths[event.seq] = self._write_attachment(event, attachment)
                elif attachment.name in _PROOFS or _is_selected_change_list(event, attachment, submission_names):
                    self._write_attachment(event, attachment)
            if event.action in (_SIGNED_ACTIONS if event.chain else _SIGNED_ACTIONS_OF_FORMAT_1):
                self._write_signed_tag(event)
        self._bag_writer.add_payload("allowed_signers", [self._read_signers(events)])
        return journal

    def _read_signers(self, events: list[Event]) -> bytes:
        """Return the list of signing keys (``allowed_signers``) that is in force after the last of ``events``.

        The list comes from the events if possible, because the index may already have a newer list, from an event
        recorded since ``events`` were read.  Raises StorageError if the list is damaged or missing.
        """
        for event in reversed(events):
            if event.action in _KEY_ACTIONS and any(item.name == SIGNERS_FILE for item in event.attachments):
                return self._archive.journal.read_attachment(event, SIGNERS_FILE)
        return self._archive.journalled_signers()

    def _write_signed_tag(self, event: Event) -> None:
        """Write the signed tag of an event.  A missing tag is left out, and the verifier reports the loss."""
        try:
            tag_bytes = self._archive.repository.read(event.refs[f"refs/tags/{event.object}"])
        except KeyError:
            return  # an inspector still gets the rest of the package
        self._bag_writer.add_payload(f"tags/{event.seq}", [tag_bytes])

    def _write_attachment(self, event: Event, attachment: Attachment) -> str:
        """Write an attachment, and return its path in the package; raises StorageError if it is damaged."""
        payload_name = f"journal/{event.seq}/{attachment.name}"
        self._bag_writer.add_payload(payload_name, [self._archive.journal.read_attachment(event, attachment.name)])
        return f"data/{payload_name}"

    def _is_selected_paper(self, event: Event, attachment: Attachment, filing_names: Set[str]) -> bool:
        """Return True for a notice, screenshot or page of a selected filing, unless a pattern excludes the file.

        A pattern is compared with the name that the file had when a person attached it.
        """
        return (
            attachment.name.startswith(EVIDENCE)
            and event.object in filing_names
            and not self._selection.omission_reason(names.name_from_text(given_paper_name(event.details)))
        )

    def write_receipts(self, events: list[Event], submitted_tags: Set[str]) -> Mapping[str, WrittenReceipt]:
        """Write the receipts of the submissions with the signed tags ``submitted_tags``.

        ``events`` is the whole journal.  Returns, by signed tag, the event and the receipt of each submission.
        """
        receipt_by_tag: dict[str, WrittenReceipt] = {}
        for event in events:
            if event.action != Action.SUBMIT:
                continue
            submitted_tag = VersionSubmitted.from_details(event.details).tag
            if submitted_tag not in submitted_tags:
                continue
            receipt_by_tag[submitted_tag] = WrittenReceipt(event.seq, None)
            for attachment in event.attachments:
                receipt_path = b"submitted/%s/%s" % (submitted_tag.path_in_packages, attachment.name.encode())
                payload_name = self._portable_names.assign_path(receipt_path)
                self._bag_writer.add_payload(
                    payload_name, [self._archive.journal.read_attachment(event, attachment.name)]
                )
                receipt_by_tag[submitted_tag] = WrittenReceipt(event.seq, f"data/{payload_name}")
        return receipt_by_tag


def _is_selected_change_list(event: Event, attachment: Attachment, submission_names: Set[str]) -> bool:
    """Return True for the list of changes of a captured version of a selected submission."""
    # The object of a capture is the tag of its version: FILING/SUBMISSION/vNUMBER.
    is_selected_capture = event.action == Action.CAPTURE and event.object.rsplit("/", 1)[0] in submission_names
    return is_selected_capture and attachment.name == CHANGES_FILE
