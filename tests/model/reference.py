"""The state of an archive as plain dicts and lists, made from the events of its journal one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.model.raw_journal import RawEvent, sha256_of
from tests.model.reference_records import Place, ReferenceCorrection, ReferenceRecord, ReferenceRestriction

#: The materials of a version: digest in hexadecimal and size by path; None for an empty folder.
Materials = dict[str, tuple[str, int] | None]
#: The acts that begin with the name of a filing and that an upgrade counts for it.
_COUNTED_ACTS = frozenset(
    [
        "capture",
        "submit",
        "filing-set",
        "filing-end",
        "notice",
        "notice-answer",
        "change-question",
        "change-decision",
        "signal",
        "display-check",
        "hold",
        "lift",
    ]
)
#: The acts that a correction may name.
_CORRECTABLE_ACTS = frozenset(["submit", "filing-set", "filing-end", "notice", "notice-answer", "change-decision"])
#: The acts that a lost database proves, besides holds, plans, corrections, and restrictions.
_LIFE_ACTS = _COUNTED_ACTS - {"capture", "hold", "lift"} | {"reminder"}


@dataclass(frozen=True)
class Anchor:
    """A moment from which periods count."""

    seq: int
    #: By the compliance clock (RFC 3339).
    time: str
    #: The time that had really passed since the beginning of the run.
    elapsed: timedelta


@dataclass
class ReferenceVersion:
    """A captured version."""

    tag: str
    commit: str
    captured: Anchor
    captured_at: str
    materials: Materials
    submitted: list[Anchor] = field(default_factory=list)
    #: The plan by which it was disposed of; empty before.
    disposed: str = ""

    @property
    def filing(self) -> str:
        return self.tag.split("/", 1)[0]

    @property
    def submission(self) -> str:
        return self.tag.rsplit("/", 1)[0]

    @property
    def number(self) -> int:
        return int(self.tag.rsplit("/v", 1)[1])

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        return {path: file for path, file in self.materials.items() if file is not None}

    @property
    def objects(self) -> dict[str, int]:
        """The size of each content object by its digest; an empty file has none."""
        return {digest: size for digest, size in self.files.values() if size}


@dataclass
class ReferencePlan:
    """A disposal plan."""

    identity: str
    planner: int
    versions: list[str]
    objects: dict[str, int]
    cooling_off_days: int
    #: None in format 1, where a plan may be about several filings.
    filing: str | None
    act: str | None
    #: By the uid of the user.
    approvals: dict[int, Anchor] = field(default_factory=dict)
    is_begun: bool = False
    is_certified: bool = False


@dataclass
class ReferenceState:
    """What the events so far say; :meth:`apply` takes the next one."""

    format: int = 0
    first_digest: str = ""
    seq: int = 0
    digest: str = ""
    #: The digests of all events.
    digests: set[str] = field(default_factory=set)
    commit: str | None = None
    clock: dict[str, Any] = field(default_factory=dict)
    #: The chain of each filing, and the number and digest of the newest event of each chain.
    chain_by_filing: dict[str, str] = field(default_factory=dict)
    chain_heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: The newest signed head, the last event that it covers, and all heads with those that they name as abandoned.
    head_digest: str = "sha256:" + "0" * 64
    covered_seq: int = 0
    known_heads: set[str] = field(default_factory=set)
    #: The number of the first event of format 2.
    first_chained_seq: int = 0
    #: The public keys, oldest first, and the whole text that lists them.
    keys: list[str] = field(default_factory=list)
    signers: bytes = b""
    years_by_scope: dict[str, int] = field(default_factory=dict)
    time_zones: set[str] = field(default_factory=set)
    keeps_live: bool = False
    watch_path: str = ""
    #: What the newest event says of the watched folder; None before the first one.
    watched_folder: dict[str, Any] | None = None
    versions: dict[str, ReferenceVersion] = field(default_factory=dict)
    newest_tags: dict[str, str] = field(default_factory=dict)
    signed_tags: dict[str, str] = field(default_factory=dict)
    last_submit: dict[str, int] = field(default_factory=dict)
    ends: dict[str, list[Anchor]] = field(default_factory=dict)
    #: When each hold in force was placed, by its name and object.
    holds: dict[tuple[str, str], str] = field(default_factory=dict)
    #: The restrictions in force, the oldest one of each place.
    restrictions: dict[Place, ReferenceRestriction] = field(default_factory=dict)
    #: The records that can be corrected, by the number of their event, in the order of the journal.
    correctable: dict[int, ReferenceRecord] = field(default_factory=dict)
    plans: dict[str, ReferencePlan] = field(default_factory=dict)
    #: The plan by which each object was destroyed that was not captured again since.
    destroyed: dict[str, str] = field(default_factory=dict)
    #: Number and time of each timestamp token.
    tokens: list[tuple[int, str]] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    #: Every object id that a ref ever had.
    past_oids: set[str] = field(default_factory=set)
    #: What the newest event about a loss lists.
    accepted_loss: dict[str, Any] = field(default_factory=dict)
    #: The events of format 1 of each filing.
    counted_events: dict[str, list[bytes]] = field(default_factory=dict)
    #: Action, object and time of holds, of events in the life of a filing, of plans, corrections, and restrictions.
    records: set[tuple[str, str, str]] = field(default_factory=set)

    def newest(self, submission: str) -> ReferenceVersion | None:
        tag = self.newest_tags.get(submission)
        return None if tag is None else self.versions[tag]

    def next_version(self, version: ReferenceVersion) -> ReferenceVersion | None:
        """Return the version that supersedes ``version``; None for the newest one."""
        return self.versions.get(f"{version.submission}/v{version.number + 1}")

    def apply(self, event: RawEvent, elapsed: timedelta) -> None:
        """Take the next event, which was checked; ``elapsed`` is the time that has really passed."""
        self.seq, self.digest, self.commit, self.clock = event.seq, event.digest, event.commit, event.clock
        self.digests.add(event.digest)
        moved_refs = event.refs | {"refs/heads/journal": event.commit}
        self.refs |= moved_refs
        self.past_oids.update(moved_refs.values())
        if event.format > 1:
            self._apply_chain(event)
        elif event.action in _COUNTED_ACTS:
            self.counted_events.setdefault(event.filing, []).append(event.data)
        if "allowed_signers" in event.files:
            self.signers = event.files["allowed_signers"]
            self.keys = [line.split()[3].decode() for line in self.signers.splitlines()]
        anchor = Anchor(event.seq, event.clock["time"], elapsed)
        if (apply_act := getattr(self, f"_apply_{event.action.replace('-', '_')}", None)) is not None:
            apply_act(event, anchor)
        if event.action in _LIFE_ACTS or event.action in ("correct", "restrict"):
            self.records.add((event.action, event.filing, event.at))
        if event.action in _CORRECTABLE_ACTS:
            self.correctable[event.seq] = ReferenceRecord(
                event.seq, event.at, event.action, event.filing, event.details
            )

    def _apply_chain(self, event: RawEvent) -> None:
        chain = event.visible["chain"]
        self.first_chained_seq = self.first_chained_seq or event.seq
        self.chain_heads[chain] = (event.visible["n"], event.digest)
        if chain not in ("archive", "house"):
            self.chain_by_filing[event.filing] = chain
        if (head := event.files.get("head.json")) is not None:
            self.head_digest, self.covered_seq = sha256_of(head), event.seq
            self.known_heads |= {self.head_digest, *json.loads(head).get("abandoned", [])}

    def _apply_init(self, event: RawEvent, anchor: Anchor) -> None:
        self.format, self.first_digest = 1, event.digest
        self.watch_path = event.details.get("watch") or ""
        self._apply_policy(event, anchor)

    def _apply_watch_folder(self, event: RawEvent, _: Anchor) -> None:
        self.watched_folder = event.details

    def _apply_format(self, event: RawEvent, _: Anchor) -> None:
        self.format = event.details["number"]

    def _apply_policy(self, event: RawEvent, _: Anchor) -> None:
        details = event.details
        for scope, years in {"": details["retention_years"], **(details.get("scopes") or {})}.items():
            self.years_by_scope[scope] = max(years, self.years_by_scope.get(scope, 0))
        if details.get("timezone"):
            self.time_zones.add(details["timezone"])
        self.keeps_live = self.keeps_live or bool(details.get("hold_while_live"))

    def _apply_watch_path(self, event: RawEvent, _: Anchor) -> None:
        self.watch_path = event.details["to"]

    def _apply_capture(self, event: RawEvent, anchor: Anchor) -> None:
        submission = event.object.rsplit("/", 1)[0]
        earlier = self.newest(submission)
        materials: Materials = dict(earlier.materials) if earlier is not None else {}
        for change in event.changes:
            if change["op"] in ("delete", "rmdir"):
                del materials[change["path"]]
            elif "from" in change:
                del materials[change["from"]]
        for change in event.changes:
            if change["op"] not in ("delete", "rmdir"):
                digest = change.get("digest")
                file = (digest.removeprefix("sha256:"), change["size"]) if digest else None
                materials[change["path"]] = file
                self.destroyed.pop(file[0] if file else "", None)
        commit = event.refs[f"refs/heads/filings/{submission}"]
        version = ReferenceVersion(event.object, commit, anchor, event.at, materials)
        assert version.tag not in self.versions, f"{version.tag} was captured twice"
        self.versions[version.tag] = version
        self.newest_tags[submission] = version.tag

    def _apply_submit(self, event: RawEvent, anchor: Anchor) -> None:
        self.versions[event.details["version"]].submitted.append(anchor)
        self.signed_tags[event.object] = event.details["version"]
        self.last_submit[event.filing] = event.seq

    def _apply_filing_end(self, event: RawEvent, anchor: Anchor) -> None:
        self.ends.setdefault(event.filing, []).append(anchor)

    def _apply_hold(self, event: RawEvent, _: Anchor) -> None:
        self.holds.setdefault((event.details["name"], event.object), event.at)
        self.records.add(("hold", f"{event.details['name']} {event.object}", event.at))

    def _apply_lift(self, event: RawEvent, _: Anchor) -> None:
        self.holds.pop((event.details["name"], event.object), None)

    def _apply_restrict(self, event: RawEvent, _: Anchor) -> None:
        self.restrictions.setdefault(_place_of(event), ReferenceRestriction(event.seq, event.details["reason"]))

    def _apply_unrestrict(self, event: RawEvent, _: Anchor) -> None:
        self.restrictions.pop(_place_of(event), None)

    def _apply_correct(self, event: RawEvent, _: Anchor) -> None:
        details = event.details
        record = self.correctable[details["corrects"]]
        assert (record.action, record.filing) == (details["kind"], event.object), (
            f"{event} corrects another record"
        )
        assert not record.is_void, f"{event} corrects a void record"
        record.corrections.append(
            ReferenceCorrection(
                event.seq, event.at, details["reason"], details["by"], details["void"], details["fields"]
            )
        )

    def _apply_timestamp(self, event: RawEvent, _: Anchor) -> None:
        self.tokens.append((event.seq, event.details["time"]))

    def _apply_dispose_plan(self, event: RawEvent, _: Anchor) -> None:
        document = json.loads(event.files["plan.json"])
        self.plans[event.object] = ReferencePlan(
            identity=event.object,
            planner=event.uid,
            versions=document["versions"],
            objects=dict(document["objects"]),
            cooling_off_days=event.details["cooling_off_days"],
            filing=event.details.get("of_filing"),
            act=event.details.get("act"),
        )
        self.records.add(("dispose-plan", event.object, event.at))

    def _apply_dispose_approve(self, event: RawEvent, anchor: Anchor) -> None:
        self.plans[event.object].approvals.setdefault(event.uid, anchor)

    def _apply_dispose_begin(self, event: RawEvent, _: Anchor) -> None:
        self.plans[event.object].is_begun = True
        self.destroyed |= dict.fromkeys(self.plans[event.object].objects, event.object)
        for tag in event.details["versions"]:
            assert not self.versions[tag].disposed, f"{tag} was disposed of twice"
            self.versions[tag].disposed = event.object

    def _apply_dispose_certify(self, event: RawEvent, _: Anchor) -> None:
        self.plans[event.object].is_certified = True
        for digest in event.details["kept"]:
            self.destroyed.pop(digest, None)

    def _apply_recover(self, event: RawEvent, _: Anchor) -> None:
        self.accepted_loss = {name: event.details[name] for name in ("lost_versions", "lost_records")}


def _place_of(event: RawEvent) -> Place:
    return Place(event.filing, event.details["path"], event.details["digest"].removeprefix("sha256:"))
