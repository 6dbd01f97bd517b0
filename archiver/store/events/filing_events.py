"""Events of a filing's life: submissions to the regulator, notices, changes, the public display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

from archiver.store.events.attached_files import EVIDENCE, RECEIPT, AttachedFile
from archiver.store.events.event_details import EventDetails, checked, noted
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import (
    ANYTHING,
    DAY,
    DAYS,
    FILING_SHEET,
    FLAG,
    INTEGER,
    REMINDER_STEPS,
    TEXT,
    TEXTS,
    nullable,
)

_FILING = "name of the filing, as in refs"
_REPORTED_BY = "person it was done for or by, beside the user that the kernel named"
_NUMBER_REASON = "why a number of an unknown form is right"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSubmitted(EventDetails):
    """Written when a version was submitted to the regulator, with a tag signed by the archive's key."""

    action: ClassVar = Action.SUBMIT
    about: ClassVar = "signed tag, `<filing>/<submission>/submitted`, then `submitted-2`, ..."
    attached: ClassVar = (AttachedFile(RECEIPT, "the portal's receipt", has_suffix=True),)
    version: str = field(metadata=checked(TEXT, "tag of the version that was submitted"))
    tag: str = field(metadata=checked(TEXT, "signed tag, the event's `object`"))
    submitted_on: date = field(metadata=checked(DAY, "day on the portal; never counted from", name="on"))
    kind: str = field(
        metadata=checked(
            TEXT, "`subject`, `first`, `correction`, `change`, `deregistration`, `inspection`, `annual` or `other`"
        )
    )
    number: str | None = field(metadata=checked(nullable(TEXT), "filing number, where it was issued"))
    reported_by: str | None = field(metadata=checked(nullable(TEXT), _REPORTED_BY, name="by"))
    receipt: str | None = field(metadata=checked(nullable(TEXT), "name of the receipt's file"))
    common: str | None = field(metadata=noted(nullable(TEXT), "tag of the filing's `_common` version then"))
    manifest_sha256: str | None = field(
        metadata=noted(
            TEXT,
            "SHA-256 of the version's manifest: a line of canonical JSON with `path`, `sha256` and `size` for "
            "each material, in the order of their raw paths",
        )
    )
    manifest_sm3: str | None = field(
        default=None, metadata=noted(TEXT, "SM3 (GB/T 32905) of the same manifest", optional=True)
    )
    number_reason: str | None = field(
        default=None, metadata=noted(TEXT, _NUMBER_REASON, name="forced", optional=True)
    )
    reason: str | None = field(
        default=None, metadata=checked(TEXT, "why just this version was signed", optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingUpdated(EventDetails):
    """Written when somebody learned facts about a filing, or saw the review status on the portal."""

    action: ClassVar = Action.FILING_SET
    about: ClassVar = _FILING
    attached: ClassVar = (AttachedFile(EVIDENCE, "the screenshot or letter that shows it", has_suffix=True),)
    fields: Mapping[str, str | Sequence[str]] = field(
        metadata=checked(FILING_SHEET, "facts that are new or other than before, by their names on the sheet")
    )
    recorded_on: date = field(metadata=checked(DAY, "day on which it was seen", name="on"))
    reported_by: str | None = field(metadata=noted(nullable(TEXT), _REPORTED_BY, name="by"))
    number_reason: str | None = field(metadata=noted(nullable(TEXT), _NUMBER_REASON, name="forced"))
    evidence: str | None = field(
        default=None, metadata=checked(nullable(TEXT), "name of the file that shows it", optional=True)
    )
    status: str | None = field(
        default=None, metadata=checked(TEXT, "review status, such as `under_review` or `filed`", optional=True)
    )
    portal_text: str | None = field(
        default=None, metadata=checked(nullable(TEXT), "the portal's own words for it", optional=True)
    )

    def to_details(self) -> dict[str, Any]:
        """Return the details with the file's name always, and the portal's words beside a status."""
        details = super(FilingUpdated, self).to_details() | {"evidence": self.evidence}
        return details | ({"portal_text": self.portal_text} if self.status is not None else {})


def given_paper_name(details: Mapping[str, Any]) -> str:
    """Return the name that people gave to the paper of an event, empty without a paper.

    Events of a newer release are looked at too: a name decides whether a paper may be shown.
    """
    return str(details.get("file") or details.get("evidence") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingEnded(EventDetails):
    """Written when a filing has ended; periods count anew from here, and a submission revives the filing."""

    action: ClassVar = Action.FILING_END
    about: ClassVar = _FILING
    ended_on: date = field(metadata=checked(DAY, "day of the end; never counted from", name="on"))
    reason: str = field(metadata=noted(TEXT, "reason, as a person gave it"))
    reported_by: str | None = field(metadata=noted(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReceived(EventDetails):
    """Written when a notice of the regulator (补正通知, 问询函, ...) was recorded."""

    action: ClassVar = Action.NOTICE
    about: ClassVar = _FILING
    attached: ClassVar = (AttachedFile(EVIDENCE, "the notice itself", has_suffix=True),)
    number: int = field(metadata=checked(INTEGER, "number of the notice in this archive, from 1"))
    kind: str = field(
        metadata=checked(TEXT, "`correction`, `inquiry`, `refusal`, `rectification`, `inspection` or `revocation`")
    )
    issuer: str = field(metadata=checked(TEXT, "authority that sent it"))
    document: str = field(metadata=checked(TEXT, "its document number (文号)"))
    received_on: date = field(metadata=checked(DAY, "day of its receipt", name="received"))
    due_on: date | None = field(metadata=checked(nullable(DAY), "day to answer by, as it states", name="due"))
    working_days: int | None = field(
        metadata=checked(nullable(DAYS), "working days within which to answer, as it states", name="days")
    )
    owner: str = field(metadata=checked(TEXT, "role or person who answers"))
    reported_by: str | None = field(metadata=noted(nullable(TEXT), _REPORTED_BY, name="by"))
    paper_name: str | None = field(metadata=checked(nullable(TEXT), "name of the notice's file", name="file"))
    paper_sha256: str | None = field(metadata=checked(nullable(TEXT), "SHA-256 of that file", name="sha256"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAnswered(EventDetails):
    """Written when a notice was answered with a submission."""

    action: ClassVar = Action.NOTICE_ANSWER
    about: ClassVar = _FILING
    number: int = field(metadata=checked(INTEGER, "number of the notice"))
    submission: str = field(metadata=checked(TEXT, "submission that answers it"))
    answered_on: date = field(metadata=checked(DAY, "day of the answer", name="on"))
    reported_by: str | None = field(metadata=noted(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNoticed(EventDetails):
    """Written when an approved filing has changed; a person decides whether the change is material."""

    action: ClassVar = Action.CHANGE_QUESTION
    about: ClassVar = _FILING
    number: int = field(metadata=checked(INTEGER, "number of the change in this archive, from 1"))
    last_submission: str = field(
        metadata=checked(TEXT, "signed tag of the last submission, empty without one", name="since")
    )
    first_changed_on: date = field(metadata=checked(DAY, "day of the first change since then", name="first"))
    kinds: Sequence[str] = field(metadata=checked(TEXTS, "kinds of changes, by the patterns of the configuration"))
    materials: Sequence[str] = field(metadata=checked(TEXTS, "materials that have changed, at most 100"))
    signal: str = field(metadata=checked(TEXT, "release that was noticed outside of the folder, else empty"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDecided(EventDetails):
    """Written when a person has decided whether a change is material."""

    action: ClassVar = Action.CHANGE_DECISION
    about: ClassVar = _FILING
    number: int = field(metadata=checked(INTEGER, "number of the change"))
    is_material: bool = field(metadata=checked(FLAG, "whether it is material (重大变更)", name="material"))
    reason: str = field(metadata=checked(TEXT, "reason, as the person gave it"))
    decided_on: date = field(metadata=checked(DAY, "day of the decision", name="on"))
    reported_by: str | None = field(metadata=checked(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSignalled(EventDetails):
    """Written when a file or repository watched for releases of the algorithm has changed."""

    action: ClassVar = Action.SIGNAL
    about: ClassVar = _FILING
    signal: str = field(metadata=checked(TEXT, "path of the file, or `git:` and the path of the repository"))
    value: str = field(metadata=checked(TEXT, "SHA-256 of what it says, then a word such as a version"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayChecked(EventDetails):
    """Written when a page of the company was looked at for the filing number and its link."""

    action: ClassVar = Action.DISPLAY_CHECK
    about: ClassVar = _FILING
    attached: ClassVar = (AttachedFile(f"{EVIDENCE}.html", "the page, where it could be read"),)
    checked_on: date = field(metadata=checked(DAY, "day of the look", name="on"))
    source: str = field(metadata=checked(TEXT, "address of the page, or the name of the file"))
    problem: str = field(metadata=checked(TEXT, "why the page could not be read, else empty"))
    #: Any value counts by its truth: nothing was asked of both when the first looks were journalled.
    number_found: bool = field(metadata=checked(ANYTHING, "whether the page shows the number (true or false)"))
    link_found: bool = field(metadata=checked(ANYTHING, "whether it links to the public record (true or false)"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderSent(EventDetails):
    """Written when a reminder was delivered, so that no step is sent twice."""

    action: ClassVar = Action.REMINDER
    about: ClassVar = "`reminders`"
    recipient: str = field(metadata=checked(TEXT, "role or person", name="to"))
    channel: int = field(metadata=checked(INTEGER, "which of the recipient's addresses, from 0"))
    items: Sequence[Mapping[str, str]] = field(
        metadata=checked(REMINDER_STEPS, "what it named: `uid` of the deadline, and `step`, such as `soon:DAY`")
    )
