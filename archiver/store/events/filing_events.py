"""Events of a filing's life: submissions to the regulator, notices, changes, the public display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

from archiver.naming.ref_names import RefName
from archiver.store.events.attached_files import EVIDENCE, RECEIPT, AttachedFile
from archiver.store.events.event_details import (
    EventDetails,
    act_member,
    checked_member,
    filing_member,
    noted_member,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import (
    ANYTHING,
    DAY,
    DAYS,
    DIGEST,
    FILING_SHEET,
    FLAG,
    INTEGER,
    OBJECTS,
    REF_NAME,
    REMINDER_STEPS,
    SUBMISSION_FILES,
    TEXT,
    TEXTS,
    nullable,
)

_FILING = "name of the filing, as in refs"
_REPORTED_BY = "person who did it or for whom it was done, in addition to the user named by the kernel"
_NUMBER_REASON = "why a number of an unknown form is correct"
_ROLE = "`receipt` (from the portal) or `notice` (of the regulator)"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSubmitted(EventDetails):
    """Written when a version was submitted to the regulator, with a tag signed by the archive's key."""

    action: ClassVar = Action.SUBMIT
    object_meaning: ClassVar = "signed tag, `<filing>/<submission>/submitted`, then `submitted-2`, ..."
    attached_files: ClassVar = (AttachedFile(RECEIPT, "the portal's receipt", has_suffix=True),)
    version: RefName = field(metadata=checked_member(REF_NAME, "tag of the version that was submitted"))
    tag: RefName = field(metadata=checked_member(REF_NAME, "signed tag, the event's `object`"))
    submitted_on: date = field(
        metadata=checked_member(DAY, "day shown on the portal; no period counts from it", name="on")
    )
    kind: str = field(
        metadata=checked_member(
            TEXT, "`subject`, `first`, `correction`, `change`, `deregistration`, `inspection`, `annual` or `other`"
        )
    )
    number: str | None = field(
        metadata=checked_member(nullable(TEXT), "filing number, if one was issued", typed=True)
    )
    reported_by: str | None = field(metadata=checked_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))
    receipt: str | None = field(metadata=checked_member(nullable(TEXT), "name of the receipt's file"))
    common: str | None = field(
        metadata=noted_member(
            nullable(TEXT), "tag of the filing's newest `_common` version at that moment, null without one"
        )
    )
    manifest_sha256: str | None = field(
        metadata=noted_member(
            TEXT,
            "SHA-256 of the version's manifest: a line of canonical JSON with `path`, `sha256` and `size` for "
            "each material that is not in `about`, in the order of their raw paths",
        )
    )
    manifest_sm3: str | None = field(
        default=None, metadata=noted_member(TEXT, "SM3 (GB/T 32905) of the same manifest", optional=True)
    )
    number_reason: str | None = field(
        default=None, metadata=noted_member(TEXT, _NUMBER_REASON, name="forced", optional=True, typed=True)
    )
    reason: str | None = field(
        default=None,
        metadata=checked_member(
            TEXT, "why this version was signed although it may be incomplete", optional=True, typed=True
        ),
    )
    about: Sequence[Mapping[str, str]] | None = field(
        default=None,
        metadata=checked_member(
            SUBMISSION_FILES,
            f"files of the version that are about the submission and not part of it; `role`: {_ROLE}",
            optional=True,
        ),
    )
    # The name begins with "x-", so that a release without this member reads the event.
    open_points: Sequence[Mapping[str, Any]] | None = field(
        default=None,
        metadata=noted_member(
            OBJECTS,
            "open points that were found before the signature: `code`, `count`, and the first 200 `paths` of each",
            name="x-open-points",
            optional=True,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFileAdded(EventDetails):
    """Written when a captured file turned out to be about an earlier submission to the regulator.

    The signed tag and the manifest of the submission stay as they are.
    """

    action: ClassVar = Action.SUBMISSION_FILE
    object_meaning: ClassVar = "signed tag of the submission"
    submission: RefName = field(
        metadata=checked_member(REF_NAME, "signed tag of the submission, the event's `object`")
    )
    version: RefName = field(metadata=checked_member(REF_NAME, "tag of the version that has the file"))
    path: str = field(metadata=checked_member(TEXT, "path of the file in that version"))
    digest: str = field(metadata=checked_member(DIGEST, "digest of the file's content"))
    role: str = field(metadata=checked_member(TEXT, _ROLE))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingUpdated(EventDetails):
    """Written when somebody learned facts about a filing, or saw the review status on the portal."""

    action: ClassVar = Action.FILING_SET
    object_meaning: ClassVar = _FILING
    attached_files: ClassVar = (AttachedFile(EVIDENCE, "the screenshot or letter that shows it", has_suffix=True),)
    fields: Mapping[str, str | Sequence[str]] = field(
        metadata=checked_member(FILING_SHEET, "new and changed facts, by their names on the sheet", typed=True)
    )
    recorded_on: date = field(metadata=checked_member(DAY, "day on which it was seen", name="on"))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))
    number_reason: str | None = field(
        metadata=noted_member(nullable(TEXT), _NUMBER_REASON, name="forced", typed=True)
    )
    evidence: str | None = field(
        default=None, metadata=checked_member(nullable(TEXT), "name of the file that shows it", optional=True)
    )
    status: str | None = field(
        default=None,
        metadata=checked_member(TEXT, "review status, such as `under_review` or `filed`", optional=True),
    )
    portal_text: str | None = field(
        default=None,
        metadata=checked_member(nullable(TEXT), "the status in the portal's own words", optional=True, typed=True),
    )

    def to_details(self) -> dict[str, Any]:
        """Return the details in the form of the journal.

        ``evidence`` is always present, if only as null, and so is ``portal_text`` whenever there is a status.
        """
        # slots=True creates a second class, so super() without arguments would refer to the first one and fail.
        details = super(FilingUpdated, self).to_details() | {"evidence": self.evidence}
        return details | ({"portal_text": self.portal_text} if self.status is not None else {})


def given_paper_name(details: Mapping[str, Any]) -> str:
    """Return the file name of the document that a person attached to an event; empty without a document.

    Reads the raw details, because this must also work for kinds of events that only a newer release knows: the
    name decides whether the document may be shown.
    """
    return str(details.get("file") or details.get("evidence") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingEnded(EventDetails):
    """Written when a filing has ended.

    Retention periods count again from this event, and a later submission makes the filing live again.
    """

    action: ClassVar = Action.FILING_END
    object_meaning: ClassVar = _FILING
    ended_on: date = field(metadata=checked_member(DAY, "day of the end; no period counts from it", name="on"))
    reason: str = field(metadata=noted_member(TEXT, "reason, as a person gave it", typed=True))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReceived(EventDetails):
    """Written when a notice of the regulator (补正通知, 问询函, ...) was recorded."""

    action: ClassVar = Action.NOTICE
    object_meaning: ClassVar = _FILING
    attached_files: ClassVar = (AttachedFile(EVIDENCE, "the notice itself", has_suffix=True),)
    number: int = field(metadata=checked_member(INTEGER, "number of the notice in this archive, from 1"))
    kind: str = field(
        metadata=checked_member(
            TEXT, "`correction`, `inquiry`, `refusal`, `rectification`, `inspection` or `revocation`"
        )
    )
    issuer: str = field(metadata=checked_member(TEXT, "authority that sent it", typed=True))
    document: str = field(metadata=checked_member(TEXT, "its document number (文号)", typed=True))
    received_on: date = field(metadata=checked_member(DAY, "day of its receipt", name="received"))
    due_on: date | None = field(
        metadata=checked_member(nullable(DAY), "last day to answer, if the notice states a day", name="due")
    )
    working_days: int | None = field(
        metadata=checked_member(
            nullable(DAYS), "working days within which to answer, if the notice states a number", name="days"
        )
    )
    owner: str = field(metadata=checked_member(TEXT, "role or person who has to answer", typed=True))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))
    paper_name: str | None = field(
        metadata=checked_member(nullable(TEXT), "name of the notice's file", name="file")
    )
    paper_sha256: str | None = field(
        metadata=checked_member(nullable(TEXT), "SHA-256 of that file", name="sha256")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAnswered(EventDetails):
    """Written when a notice was answered with a submission."""

    action: ClassVar = Action.NOTICE_ANSWER
    object_meaning: ClassVar = _FILING
    number: int = field(metadata=checked_member(INTEGER, "number of the notice"))
    submission: RefName = field(metadata=checked_member(REF_NAME, "submission that answers it"))
    answered_on: date = field(metadata=checked_member(DAY, "day of the answer", name="on"))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNoticed(EventDetails):
    """Written when an approved filing has changed; a person decides whether the change is material."""

    action: ClassVar = Action.CHANGE_QUESTION
    object_meaning: ClassVar = _FILING
    number: int = field(metadata=checked_member(INTEGER, "number of the change in this archive, from 1"))
    last_submission: RefName = field(
        metadata=checked_member(REF_NAME, "signed tag of the last submission, empty without one", name="since")
    )
    first_changed_on: date = field(
        metadata=checked_member(DAY, "day of the first change since that submission", name="first")
    )
    kinds: Sequence[str] = field(
        metadata=checked_member(TEXTS, "kinds of changes, by the patterns in the configuration")
    )
    materials: Sequence[str] = field(metadata=checked_member(TEXTS, "materials that have changed, at most 100"))
    signal: str = field(metadata=checked_member(TEXT, "release noticed outside of the watched folder, else empty"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDecided(EventDetails):
    """Written when a person has decided whether a change is material."""

    action: ClassVar = Action.CHANGE_DECISION
    object_meaning: ClassVar = _FILING
    number: int = field(metadata=checked_member(INTEGER, "number of the change"))
    is_material: bool = field(metadata=checked_member(FLAG, "whether it is material (重大变更)", name="material"))
    reason: str = field(metadata=checked_member(TEXT, "reason, as the person gave it", typed=True))
    decided_on: date = field(metadata=checked_member(DAY, "day of the decision", name="on"))
    reported_by: str | None = field(metadata=checked_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSignalled(EventDetails):
    """Written when a file or repository watched for releases of the algorithm has changed."""

    action: ClassVar = Action.SIGNAL
    object_meaning: ClassVar = _FILING
    signal: str = field(
        metadata=checked_member(TEXT, "path of the file, or `git:` and the path of the repository")
    )
    value: str = field(
        metadata=checked_member(
            TEXT, "SHA-256 of the file, or of the repository's list of tags, then a word such as a version"
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayChecked(EventDetails):
    """Written when a page of the company was checked for the filing number and the link."""

    action: ClassVar = Action.DISPLAY_CHECK
    object_meaning: ClassVar = _FILING
    attached_files: ClassVar = (AttachedFile(f"{EVIDENCE}.html", "the page, if it could be read"),)
    checked_on: date = field(metadata=checked_member(DAY, "day of the check", name="on"))
    source: str = field(metadata=checked_member(TEXT, "address of the page, or the name of the file"))
    problem: str = field(metadata=checked_member(TEXT, "why the page could not be read, else empty"))
    # Any value is accepted and counts by its truth value, because early releases did not check these members.
    number_found: bool = field(
        metadata=checked_member(ANYTHING, "whether the page shows the number (true or false)")
    )
    link_found: bool = field(
        metadata=checked_member(ANYTHING, "whether it links to the public record (true or false)")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderSent(EventDetails):
    """Written when a reminder was delivered, so that no step is sent twice."""

    action: ClassVar = Action.REMINDER
    object_meaning: ClassVar = "`reminders`"
    recipient: str = field(metadata=checked_member(TEXT, "role or person", name="to"))
    channel: int = field(metadata=checked_member(INTEGER, "index of the recipient's address, from 0"))
    items: Sequence[Mapping[str, str]] = field(
        metadata=checked_member(
            REMINDER_STEPS, "contents of the message: `uid` of a deadline, and `step`, such as `soon:DAY`"
        )
    )
    filing: str | None = filing_member()
    act: str | None = act_member()
