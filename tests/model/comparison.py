"""Compare events with what was expected, and the program's answers with the reference state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from archiver.config.settings import Config
from archiver.retention.explain import explain_retention
from archiver.retention.policy import policy_in_force
from archiver.store.archive import Archive
from archiver.store.index.index_files import build_index_in_memory
from archiver.store.index.queries import Index
from archiver.store.names import name_as_text
from archiver.verify.whole_archive import verify_archive
from tests.model.accepted_retention import compare_accepted_retention, compare_retention_answers
from tests.model.corrections import compare_correction_answers, compare_corrections
from tests.model.expectations import ARCHIVE, HOUSE, ExpectedEvent
from tests.model.raw_journal import RawEvent, read_refs, sha256_of
from tests.model.reference import ReferenceState, ReferenceVersion
from tests.model.restrictions import compare_restricted_answers, compare_restrictions
from tests.model.retention_rules import anchors_of, holds_on, is_disposable, is_live, keep_until, proven_time
from tests.model.world import World


def check_expected(expected: ExpectedEvent, event: RawEvent) -> None:
    """Raise AssertionError unless the event is the expected one."""
    assert (event.action, event.object) == (expected.action, expected.object), f"{event} instead of {expected}"
    chain = event.visible["chain"]
    if expected.chain in (ARCHIVE, HOUSE):
        assert chain == expected.chain, f"{event} is in the chain {chain}"
    else:
        assert chain not in (ARCHIVE, HOUSE), f"{event} is in the chain {chain}"
        assert event.filing == expected.chain, f"{event} names the filing {event.filing}"
    for name, value in expected.details.items():
        stated = event.details.get(name)
        assert _sorted(stated) == _sorted(value), f"{event}: {name} {stated} is not {value}"


def _sorted(value: Any) -> Any:
    """Return a list of texts in order: the order of tags and digests has no meaning."""
    return sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value


def check_effect(expected: ExpectedEvent, event: RawEvent, state: ReferenceState, before: ReferenceState) -> None:
    """Compare what the event has done, ``before`` and after, with what was expected."""
    if expected.materials is not None:
        held = state.versions[event.object].materials
        assert held == expected.materials, f"{event} holds {held} instead of {expected.materials}"
    if expected.plan is not None:
        plan = state.plans[event.object]
        planned = (list(expected.plan[0]), dict(expected.plan[1]))
        assert (plan.versions, plan.objects) == planned, f"{event} plans {plan} instead of {planned}"
    if event.action == "earlier-events":
        salt, digest = bytes.fromhex(event.details["salt"]), event.details["digest"]
        counted = b"".join(before.counted_events[event.object])
        assert sha256_of(salt + counted) == digest, f"{event} counts other events"
    if event.action in ("format", "key-rotate", "key-replace"):
        assert state.signers.splitlines()[: len(before.keys) - 1] == before.signers.splitlines()[:-1], event
        assert state.keys[: len(before.keys)] == before.keys, f"{event} lost a key"
    if event.action in ("correct", "restrict", "unrestrict"):
        assert event.refs == {}, f"{event} moves refs"
    if event.action == "dispose-certify":
        names = {"certificate.json", "certificate.json.sig", "certificate.html"}
        assert names <= event.files.keys(), f"{event} lacks a certificate"


# --- the program's answers


def compare_index(index: Index, state: ReferenceState) -> None:
    """Compare versions, submissions, holds and plans with those of an index."""
    assert index.unread_events() == []
    versions = {version.tag: version for version in index.versions()}
    assert versions.keys() == state.versions.keys()
    assert set(index.all_tags()) == state.versions.keys() | state.signed_tags.keys()
    for tag, version in versions.items():
        reference = state.versions[tag]
        materials = {
            name_as_text(material.path): (material.sha256, material.size) if material.sha256 else None
            for material in index.materials(version.submission, version.number)
        }
        assert materials == reference.materials, tag
        successor = state.next_version(reference)
        assert (
            version.commit,
            version.files,
            version.bytes,
            version.live,
            version.disposed or "",
            sorted(hold.name for hold in version.holds),
            len(version.submitted),
            version.superseded is None,
        ) == (
            reference.commit,
            len(reference.files),
            sum(size for _, size in reference.files.values()),
            is_live(state, reference.filing),
            reference.disposed,
            sorted(holds_on(state, reference)),
            len(reference.submitted),
            successor is None,
        ), tag
        counted_from = [version.clock, *(record.clock for record in version.submitted), *version.ended]
        counted_from += [] if version.superseded is None else [version.superseded]
        assert sorted(counted_from) == _times(state, reference), tag
    assert {(hold.name, hold.object): hold.placed for hold in index.holds()} == state.holds
    plans = {plan.identity: plan for plan in index.disposals()}
    assert plans.keys() == state.plans.keys()
    for identity, plan in plans.items():
        reference_plan = state.plans[identity]
        approvers = {approval.uid for approval in plan.approvals}
        assert (plan.begun is not None, plan.certified is not None, approvers) == (
            reference_plan.is_begun,
            reference_plan.is_certified,
            set(reference_plan.approvals),
        ), identity
    heads = {chain: (head.event_count, head.digest) for chain, (head, _) in index.chains().items()}
    assert heads == state.chain_heads


def _times(state: ReferenceState, version: ReferenceVersion) -> list[str]:
    times = [proven_time(state, anchor) for anchor in anchors_of(state, version)]
    return sorted(time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for time in times)


def compare_refs(world: World) -> None:
    assert read_refs(world.repository) == world.state.refs


def compare_content(world: World) -> None:
    """Compare the content objects with those that the versions need, and hash each of them."""
    needed: dict[str, int] = {}
    possible: set[str] = set()
    doubtful = {
        digest
        for plan in world.state.plans.values()
        if plan.is_begun and not plan.is_certified
        for digest in plan.objects
    }
    for version in world.state.versions.values():
        possible |= version.objects.keys()
        if not version.disposed:
            needed |= version.objects
    present = {path.name: path for path in (world.repository / "lfs/objects").glob("??/??/*")}
    assert needed.keys() <= present.keys(), f"lost: {needed.keys() - present.keys()}"
    for digest, path in present.items():
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) == needed.get(digest, len(data))
    superfluous = present.keys() - needed.keys() - doubtful
    if not world.has_leftovers:
        assert superfluous <= possible, f"no version has {superfluous - possible}"


def compare_findings(world: World, archive: Archive) -> None:
    """Run ``verify``, which must find what the model expects, and nothing else."""
    report = verify_archive(archive.root, archive.repository)
    findings = {(finding.code, finding.object) for finding in report.findings}
    assert findings == world.expected_findings(), [str(finding.message) for finding in report.findings]


def compare_cheaply(world: World, archive: Archive) -> None:
    """Compare what takes a few milliseconds, after each act."""
    compare_refs(world)
    compare_index(archive.index, world.state)
    compare_restrictions(world, archive)
    compare_corrections(world, archive)


def compare_retention(world: World, archive: Archive, config: Config) -> None:
    """Compare what ``explain`` says of each version: until when it is kept, and whether it can be disposed of now."""
    state, terms, index = world.state, world.terms, archive.index
    assert archive.compliance_time() == world.now
    policy = policy_in_force(config, index.retention_promises())
    for version in index.versions():
        reference = state.versions[version.tag]
        decision = explain_retention(index, version, "", policy, world.now).decision
        assert decision.keep_until == keep_until(state, reference, terms), version.tag
        is_allowed = decision.is_disposable and bool(reference.files) and not reference.disposed
        assert is_allowed == is_disposable(state, reference, world.now, terms), version.tag


def compare_all(world: World, archive: Archive, config: Config, *, also_rebuilt: bool) -> None:
    """Compare everything; with ``also_rebuilt`` an index made from the journal as well."""
    compare_cheaply(world, archive)
    compare_retention(world, archive, config)
    compare_content(world)
    if also_rebuilt:
        assert world.state.commit is not None
        with closing(build_index_in_memory(archive.journal, world.state.commit)) as rebuilt_index:
            compare_index(rebuilt_index, world.state)
    compare_findings(world, archive)
    compare_accepted_retention(world, archive, config)
    compare_restricted_answers(world)
    compare_correction_answers(world)
    compare_retention_answers(world)


def names_of(events: Sequence[RawEvent]) -> str:
    return ", ".join(f"{event.seq} {event.action} {event.object}" for event in events)
