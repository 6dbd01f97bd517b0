"""Whoever owns the files can write any event; what the rules do not allow is found all the same."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from archiver import clock
from archiver.model import Actor
from archiver.retention import certificate, disposal_conditions
from archiver.retention.disposal_selection import DisposalSelection
from archiver.store.archive import Archive
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.event_kinds import Action
from archiver.store.events.retention_events import DisposalApproved, DisposalBegun
from archiver.store.writing.drafts import Draft
from archiver.verify.whole_archive import verify_archive
from tests.support.site import Site

NUMBERS = {"A054", "A055", "A056", "A057", "A058"}


def forge(site: Site, *, approvals: int = 2, needed: bool = False, **flaws: bool) -> set[str]:
    """Write the events of a disposal past the program's own checks, as somebody with the key could; return the
    codes.

    Each of ``flaws`` leaves a rule out: ``hasty`` begins before the cooling-off is over, ``other_plan`` approves
    another digest, ``present`` destroys nothing, ``uncertified`` and ``unsigned`` are about the certificate.
    """
    archive = Archive(site.archive)
    versions = {version.tag: version for version in archive.index.versions()}
    old = versions["f/s/v1"]
    object_sizes = {m.sha256: m.size for m in archive.index.materials(old.submission, 1) if m.path == b"gone"}
    if needed:
        object_sizes |= {m.sha256: m.size for m in archive.index.materials(old.submission, 1)}
    selection = DisposalSelection(((old, _decision(archive, old)),), (), object_sizes, 0)  # type: ignore[arg-type]
    sha256 = selection.plan_sha256 if not flaws.get("other_plan") else "0" * 64
    days = 0 if not flaws.get("hasty") else 7
    details = {"plan_sha256": sha256, "cooling_off_days": days, "of_filing": "f"}
    plan = GivenDetails(Action.DISPOSE_PLAN, details)
    _append(archive, Draft("D1", plan, {"plan.json": io.BytesIO(selection.encode_plan())}))
    for uid in range(approvals):
        archive.actor = Actor(70000 + uid, "")
        _append(archive, Draft("D1", DisposalApproved(plan_sha256=sha256, reason="r", filing="f")))
    _append(archive, Draft("D1", DisposalBegun(plan_sha256=sha256, versions=["f/s/v1"], filing="f")))
    if not flaws.get("present"):
        archive.content.destroy_objects(object_sizes)  # type: ignore[arg-type]
    if not flaws.get("uncertified"):
        begun = disposal_conditions.find_plan(archive, "D1")
        files = certificate.build_certificate(archive, begun, disposal_conditions.read_plan(archive, begun), [])
        if flaws.get("unsigned"):
            files["certificate.json.sig"] = files["certificate.json.sig"].replace(b"A", b"B")
        attachments = {name: io.BytesIO(data) for name, data in files.items()}
        certification = GivenDetails(Action.DISPOSE_CERTIFY, {"plan_sha256": sha256, "kept": [], "of_filing": "f"})
        _append(archive, Draft("D1", certification, attachments))
    codes = {finding.code for finding in verify_archive(archive.root, archive.repository).findings}
    archive.close()
    return codes


def _append(archive: Archive, draft: Draft) -> None:
    with archive.writing(5) as writer:
        writer.append(draft)


def _decision(archive: Archive, version: Any) -> Any:
    from zoneinfo import ZoneInfo

    from archiver.profiles import DEFAULT, PROFILES
    from archiver.retention.policy import RetentionPolicy, decide_retention

    policy = RetentionPolicy({"": (PROFILES[DEFAULT],)}, (ZoneInfo("UTC"),), False)
    # The plan says of the version that it goes, which is not so before its time.
    return decide_retention(version, policy, archive.compliance_time() + timedelta(days=4000))


@pytest.fixture
def filled(site: Site) -> Site:
    site.write("f/s/gone", "old")
    site.write("f/s/stays", "same")
    site.catch_up()
    site.write("f/s/gone", "new")
    site.catch_up()
    return site


@pytest.mark.parametrize(
    ("flaws", "code"),
    [
        ({"uncertified": True}, "A054"),
        ({"unsigned": True}, "A054"),
        ({"approvals": 1}, "A055"),
        ({"hasty": True}, "A055"),
        ({"other_plan": True}, "A055"),
        ({}, "A056"),
        ({"needed": True}, "A057"),
        ({"present": True}, "A058"),
    ],
)
def test_each_forged_disposal_is_found_by_its_number(filled: Site, flaws: dict[str, Any], code: str) -> None:
    # Each is disposed of before its time as well.
    assert forge(filled, **flaws) == {code, "A056"}


def test_a_held_version_is_found_too(filled: Site, tmp_path: Path) -> None:
    filled.run("hold", "place", "inspection", "f", "--reason", "r")
    assert forge(filled) == {"A056"}
    messages = [finding["message"] for finding in filled.findings()]
    assert any("it was under a hold: inspection" in message for message in messages), json.dumps(messages)


def test_a_token_does_not_shorten_the_cooling_off(filled: Site) -> None:
    """A clock that lagged when somebody approved jumps ahead: the days are counted from the token."""
    archive = Archive(filled.archive)
    details = {"plan_sha256": "0" * 64, "cooling_off_days": 7, "of_filing": "f"}
    plan = GivenDetails(Action.DISPOSE_PLAN, details)
    _append(archive, Draft("D1", plan, {"plan.json": io.BytesIO(b"{}")}))
    approval = DisposalApproved(plan_sha256="0" * 64, reason="r", filing="f")
    _append(archive, Draft("D1", approval))
    proven = clock.read_clocks().wall + timedelta(days=1000)
    with archive.writing(5) as writer:
        writer.append(
            Draft("clock", GivenDetails(Action.TIMESTAMP, {"time": clock.format_time(proven)}), proven=proven)
        )
    _append(archive, Draft("D1", approval))
    first, second = archive.index.disposals("D1")[0].approvals
    assert first.clock == clock.format_time(proven)
    assert clock.parse_time(second.clock) >= proven
    archive.close()
