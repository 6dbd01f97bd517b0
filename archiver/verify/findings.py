"""The numbered results of ``verify``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archiver.errors import Phrase

#: Code -> what it means.  Numbers are never given to another meaning.
TABLE = {
    "A001": "the repository's settings are not those of an archive",
    "A002": "a hook is missing, altered or not executable",
    "A003": "HEAD does not name the journal",
    "A004": "the repository depends on objects outside of the archive",
    "A005": "a file does not belong into the repository",
    "A010": "git fsck complains",
    "A011": "a pack file is damaged",
    "A012": "a git object is damaged",
    "A020": "a ref is missing",
    "A021": "a ref does not have the value that the journal gave it",
    "A022": "a ref that the journal does not know",
    "A023": "a ref's file cannot be read as one",
    "A030": "a journal event cannot be read",
    "A031": "the chain of the journal is broken",
    "A032": "an attachment is not what its event says",
    "A033": "the compliance clock runs backwards",
    "A034": "the compliance clock ran ahead of its evidence",
    "A035": "a journal event is of a kind that this release does not know",
    "A040": "a version's tree is not what its changes say",
    "A041": "a version's commit or tag is not what its event says",
    "A042": "the signature of a submitted version is not valid",
    "A043": "the manifest of a submitted version is not what was sealed",
    "A044": "the signature of a checkpoint is not valid",
    "A045": "a checkpoint does not cover the refs of its time",
    "A046": "the archive is not a continuation of the witness line",
    "A047": "a time-stamp token is not valid",
    "A048": "the signing key was changed without the old one",
    "A050": "a content object is missing",
    "A051": "the bytes of a content object are not those that were archived",
    "A052": "a content object could be changed through its mode, owner or another name",
    "A053": "a file among the content objects is not one",
    "A054": "a disposal has no valid certificate",
    "A055": "a disposal lacks what it needs",
    "A056": "a version was disposed of before its time",
    "A057": "content was destroyed that a version needs",
    "A058": "content is there that a certificate calls destroyed",
    "A060": "the list of allowed signers is not the one of the journal",
    "A061": "somebody may read or write more than they should",
    "A070": "the replica lacks something",
    "A071": "an object of the replica is not what was archived",
    "A072": "an object of the replica is not locked",
    "A073": "an object of the replica is locked too short",
    "A074": "something in the replica is not the archive's",
    "A075": "a delete marker hides an object of the replica",
    "A076": "a hold is missing in the replica",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    code: str
    object: str
    detail: str

    @property
    def message(self) -> str:
        """The meaning of the number, and what was seen."""
        return f"{TABLE[self.code]}: {self.detail}" if self.detail else TABLE[self.code]


@dataclass(slots=True)
class VerifyReport:
    """Everything that was found, and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    versions: int = 0
    events: int = 0
    objects: int = 0
    bytes: int = 0
    unreferenced: int = 0
    notes: list[tuple[str, Phrase]] = field(default_factory=list)

    def add(self, code: str, where: object, detail: object = "") -> None:
        """Note a finding."""
        self.findings.append(Finding(code, str(where), str(detail)))

    def note(self, where: str, what: Phrase) -> None:
        """Note what is as it should be, and good to know."""
        self.notes.append((where, what))

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``verify --json``."""
        return {
            "ok": self.ok,
            "findings": [
                {"code": each.code, "object": each.object, "message": each.message} for each in self.findings
            ],
            "notes": [{"object": where, "message": str(what)} for where, what in self.notes],
            "checked": {
                "versions": self.versions,
                "events": self.events,
                "objects": self.objects,
                "bytes": self.bytes,
            },
        }
