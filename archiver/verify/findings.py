"""The results of ``verify``: findings, each with a numbered code, and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from archiver.errors import LazyMessage
from archiver.naming.ref_names import RefName

#: The detail of a finding about an object whose size is not the expected size.
WRONG_SIZE = LazyMessage.define(
    "{size} bytes instead of {expected}", singular="{size} byte instead of {expected}", count_field="size"
)
#: Code -> meaning.  The meaning of a code never changes: alarms and documentation refer to codes.
MEANING_BY_CODE: Mapping[str, LazyMessage] = {
    "A001": LazyMessage("the repository's settings are not those of an archive"),
    "A002": LazyMessage("a hook is missing, altered or not executable"),
    "A003": LazyMessage("HEAD does not point to the journal"),
    "A004": LazyMessage("the repository depends on objects outside the archive"),
    "A005": LazyMessage("an unexpected file in the repository"),
    "A010": LazyMessage("git fsck reports errors"),
    "A011": LazyMessage("a pack file is damaged"),
    "A012": LazyMessage("a Git object is damaged"),
    "A020": LazyMessage("a ref is missing"),
    "A021": LazyMessage("a ref does not have the value that the journal records"),
    "A022": LazyMessage("a ref is not recorded in the journal"),
    "A023": LazyMessage("a ref file is malformed"),
    "A030": LazyMessage("a journal event cannot be read"),
    "A031": LazyMessage("the chain of the journal is broken"),
    "A032": LazyMessage("an attachment does not match its event"),
    "A033": LazyMessage("the compliance clock runs backwards"),
    "A034": LazyMessage("the compliance clock ran ahead of its evidence"),
    "A035": LazyMessage("a journal event has a kind unknown to this release"),
    "A036": LazyMessage("a journal event does not fit the chain of its filing"),
    "A037": LazyMessage("the body of a journal event is not the one that the event names"),
    "A038": LazyMessage("the newest journal events have no signed head"),
    "A039": LazyMessage("a signed head does not match the journal"),
    "A040": LazyMessage("the tree of a version does not match its changes"),
    "A041": LazyMessage("the commit or tag of a version does not match its event"),
    "A042": LazyMessage("the signature of a submitted version is not valid"),
    "A043": LazyMessage("the manifest of a submitted version differs from what was signed"),
    "A044": LazyMessage("the signature of a checkpoint is not valid"),
    "A045": LazyMessage("a checkpoint does not cover the refs of its time"),
    "A046": LazyMessage("the archive does not continue the history of the witness line"),
    "A047": LazyMessage("a timestamp token is not valid"),
    "A048": LazyMessage("the signing key was replaced without a signature by the old key"),
    "A049": LazyMessage("a journal event claims to be earlier than its reading of the system clock"),
    "A050": LazyMessage("a content object is missing"),
    "A051": LazyMessage("an object differs from what was archived"),
    "A052": LazyMessage("an object can be changed through its permissions, its owner, or another name"),
    "A053": LazyMessage("an unexpected file in the object store"),
    "A054": LazyMessage("a disposal has no valid certificate of destruction"),
    "A055": LazyMessage("a disposal does not meet its requirements"),
    "A056": LazyMessage("a version was disposed of before its retention ended"),
    "A057": LazyMessage("content that a version needs was deleted"),
    "A058": LazyMessage("an object certified as destroyed still exists"),
    "A059": LazyMessage("others than the archive owner can read a restricted file"),
    "A060": LazyMessage("the list of allowed signers does not match the journal"),
    "A061": LazyMessage("file permissions are too broad"),
    "A070": LazyMessage("the replica is incomplete"),
    "A071": LazyMessage("a replica object differs from what was archived"),
    "A072": LazyMessage("a replica object is not locked"),
    "A073": LazyMessage("the lock on a replica object ends too early"),
    "A074": LazyMessage("an unknown object in the replica"),
    "A075": LazyMessage("a delete marker hides a replica object"),
    "A076": LazyMessage("a hold is missing in the replica"),
}


def untranslated(text: object) -> LazyMessage:
    """Return a message that displays ``str(text)``, untranslated in every language.

    Use it for file names and for the output of other programs.
    """
    return LazyMessage("{text}", text=str(text))


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of the archive or the replica."""

    #: A key of :data:`MEANING_BY_CODE`.
    code: str
    #: The file, ref, tag, digest or event that has the fault, as it is displayed.
    object: str
    #: What was observed; None if the meaning of the code needs no addition.
    detail: LazyMessage | None = None

    @property
    def message(self) -> LazyMessage:
        """The meaning of the code, followed by the detail, if any."""
        meaning = MEANING_BY_CODE[self.code]
        if self.detail is None:
            return meaning
        return LazyMessage("{meaning}: {detail}", meaning=meaning, detail=self.detail)

    def as_json(self) -> dict[str, Any]:
        """Return the finding as an object of ``verify --json``.

        The member ``parameters`` has the fields of the detail by name, so that programs need not parse the
        message. Integers stay integers; every other field becomes a string.
        """
        detail_fields = self.detail.fields if self.detail else {}
        parameters = {
            name: value if isinstance(value, int | RefName) else str(value)
            for name, value in detail_fields.items()
        }
        return {
            "code": self.code,
            "object": self.object,
            "message": str(self.message),
            "parameters": parameters,
        }


class VerifyNote(NamedTuple):
    """A fact worth knowing, although not a fault."""

    object: str  # the file, disposal or other object concerned, as it is displayed
    sentence: LazyMessage


@dataclass(slots=True)
class VerifyReport:
    """The findings and notes of a check, and the amount of checked data."""

    #: In the order in which the checks added them.
    findings: list[Finding] = field(default_factory=list)
    #: Versions and events in the journal, unreadable events included.
    version_count: int = 0
    event_count: int = 0
    #: Content objects that were hashed again, and their total size.
    hashed_objects: int = 0
    hashed_bytes: int = 0
    #: Content objects that no version of the journal names: an interrupted capture leaves some. No fault.
    unreferenced_objects: int = 0
    notes: list[VerifyNote] = field(default_factory=list)
    #: Events whose wall time was behind that of the previous event, or behind the compliance clock. No fault.
    marked_events: int = 0

    def add_finding(self, code: str, object_name: object, detail: LazyMessage | None = None) -> None:
        """Add a finding.

        ``code`` is a key of :data:`MEANING_BY_CODE`. ``object_name`` is displayed as the object with the fault.
        ``detail`` describes what was observed; None if the meaning of the code needs no addition.
        """
        # A RefName stays one, so that people and programs get the name that each of them needs.
        shown_object = object_name if isinstance(object_name, str) else str(object_name)
        self.findings.append(Finding(code, shown_object, detail))

    def add_note(self, object_name: str, sentence: LazyMessage) -> None:
        """Add a note about ``object_name``.  Notes do not make the check fail."""
        self.notes.append(VerifyNote(object_name, sentence))

    @property
    def is_clean(self) -> bool:
        """True if there is no finding; notes do not count."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``verify --json``.  Its keys and codes stay the same in all releases."""
        return {
            "ok": self.is_clean,
            "findings": [finding.as_json() for finding in self.findings],
            "notes": [
                {"object": note.object, "message": str(note.sentence), "code": note.sentence.code or None}
                for note in self.notes
            ],
            "checked": {
                "versions": self.version_count,
                "events": self.event_count,
                "objects": self.hashed_objects,
                "bytes": self.hashed_bytes,
            },
        }
