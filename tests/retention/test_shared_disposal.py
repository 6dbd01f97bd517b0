"""Disposal of two filings at once that have content in common: a plan each, in either order."""

from __future__ import annotations

import hashlib
import json
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from archiver.model import Event
from tests.retention.test_disposal import FIRST, FOUR_YEARS, GROUP, PLANNER, SECOND, Later, Served, killed_at
from tests.support.site import Site, open_the_way

pytestmark = pytest.mark.needs("root", "another user")

#: The filings, in the order of their names.
LEFT, RIGHT = "甲推荐", "乙搜索"
SHARED = b"the business licence, scanned"
OWN = {LEFT: b"the report of the left", RIGHT: b"the report of the right"}
AFTERWARDS = FOUR_YEARS + 8


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class TwoFilings:
    """Two ended filings, whose first versions can go, and whose second ones are the present state."""

    def __init__(self, root: Path, *, is_content_shared: bool) -> None:
        open_the_way(root)
        self.site = Site(root / "site").init()
        self.site.configure(access={"read_group": GROUP, "act_group": GROUP})
        for filing in OWN:
            self.site.write(f"{filing}/首次/报告", OWN[filing])
            self.site.write(f"{filing}/首次/执照", SHARED if is_content_shared else SHARED + filing.encode())
        self.site.catch_up()
        for filing in OWN:
            self.site.write(f"{filing}/首次/报告", b"corrected " + filing.encode())
            (self.site.watch / filing / "首次/执照").unlink()
        self.site.catch_up()
        for filing in OWN:
            self.site.run("filing", "end", filing, "--on", "2026-06-01", "--reason", "the service was closed")

    def plan(self) -> dict[str, str]:
        """Plan and approve; return the plan of each filing."""
        with Served(self.site, FOUR_YEARS) as later:
            planned = later.json("dispose", "plan", uid=PLANNER)
            for plan in planned["plans"]:
                for uid in (FIRST, SECOND):
                    later.run("dispose", "approve", plan, "--reason", "the period is over", uid=uid)
        assert planned["plan"] == planned["plans"][0]
        plans = {self.event(plan, "dispose-plan").details["of_filing"]: plan for plan in planned["plans"]}
        assert plans.keys() == OWN.keys()
        return plans

    def dispose(self, plan: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return Later(self.site, AFTERWARDS).run("dispose", "run", plan, code=code)

    def events(self) -> list[Event]:
        with closing(self.site.open()) as archive:
            return list(archive.journal.events_since(None))

    def event(self, plan: str, action: str) -> Event:
        [event] = [event for event in self.events() if (event.object, event.action) == (plan, action)]
        return event

    def attachment(self, plan: str, action: str, name: str) -> dict[str, Any]:
        attached: dict[str, Any] = json.loads(
            self.site.git("show", f"{self.event(plan, action).commit}:{name}").stdout
        )
        return attached

    def destroyed(self, plan: str) -> dict[str, bool]:
        """Return the digests that the certificate of a plan names, and whether each was destroyed."""
        certificate = self.attachment(plan, "dispose-certify", "certificate.json")
        return {listed["sha256"]: listed["destroyed"] for listed in certificate["objects"]}

    def has_object(self, data: bytes) -> bool:
        name = digest_of(data)
        return (self.site.repository / "lfs/objects" / name[:2] / name[2:4] / name).exists()


@pytest.fixture
def two(tmp_path: Path) -> TwoFilings:
    return TwoFilings(tmp_path, is_content_shared=True)


@pytest.mark.parametrize("order", [(LEFT, RIGHT), (RIGHT, LEFT)], ids=["left first", "right first"])
def test_the_disposal_that_comes_last_deletes_what_both_have(two: TwoFilings, order: tuple[str, str]) -> None:
    first, last = order
    plans = two.plan()
    for filing, plan in plans.items():
        listed = two.attachment(plan, "dispose-plan", "plan.json")
        assert dict(listed["objects"]) == {
            digest_of(OWN[filing]): len(OWN[filing]),
            digest_of(SHARED): len(SHARED),
        }
        assert listed["versions"] == [f"{filing}/首次/v1"]
    two.site.verified()

    done = two.dispose(plans[first])
    assert "1 object is needed again and was retained" in done.stdout
    assert two.destroyed(plans[first]) == {digest_of(OWN[first]): True, digest_of(SHARED): False}
    assert two.has_object(SHARED)
    assert not two.has_object(OWN[first])
    assert [note["object"] for note in two.site.verified_notes()] == [plans[first]]
    # What is left of the other filing is whole.
    two.site.run("restore", f"{last}/首次/v1", "--to", two.site.root / "back")
    assert (two.site.root / "back/执照").read_bytes() == SHARED
    two.site.run("restore", f"{first}/首次/v1", "--to", two.site.root / "gone", code=7)

    assert "needed again" not in two.dispose(plans[last]).stdout
    assert two.destroyed(plans[last]) == {digest_of(OWN[last]): True, digest_of(SHARED): True}
    assert not two.has_object(SHARED)
    assert {note["object"]: note["message"].split()[0] for note in two.site.verified_notes()} == {
        plans[first]: "1",
        plans[last]: "2",
    }
    for filing in OWN:
        two.site.run("restore", f"{filing}/首次/v2", "--to", two.site.root / f"v2 of {filing}")
    # The index forgets nothing of it.
    two.site.run("reindex")
    two.site.verified()
    assert all(plan["certified"] for plan in two.site.json("dispose", "list"))


def test_each_filings_events_name_no_other_filing(two: TwoFilings) -> None:
    plans = two.plan()
    for plan in plans.values():
        two.dispose(plan)
    acts = set()
    for filing, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        steps = [event for event in two.events() if event.object == plans[filing]]
        assert [event.action for event in steps] == [
            "dispose-plan",
            "dispose-approve",
            "dispose-approve",
            "dispose-begin",
            "dispose-certify",
        ]
        [capture, *_] = [event for event in two.events() if event.object == f"{filing}/首次/v1"]
        assert {event.chain for event in steps} == {capture.chain}
        assert {event.details["of_filing"] for event in steps} == {filing}
        acts.add(steps[0].details["act"])
        for event in steps:
            for name in two.site.git("ls-tree", "--name-only", event.commit).stdout.split():
                stored = two.site.git("show", f"{event.commit}:{name}").stdout
                assert other not in stored, f"{event.action}: {name}"
                assert plans[other] not in stored, f"{event.action}: {name}"
    # One act on both filings, which the id alone ties together.
    assert len(acts) == 1


@pytest.mark.parametrize("is_content_shared", [True, False], ids=["content in common", "nothing in common"])
def test_a_hold_on_one_filing_stops_the_other_only_if_it_needs_its_content(
    tmp_path: Path, is_content_shared: bool
) -> None:
    two = TwoFilings(tmp_path, is_content_shared=is_content_shared)
    plans = two.plan()
    later = Later(two.site, AFTERWARDS)
    later.run("hold", "place", "inspection", RIGHT, "--reason", "spot check")
    refused = two.dispose(plans[RIGHT], code=4).stderr
    assert f"{RIGHT}/首次/v1 cannot be disposed of now" in refused
    if is_content_shared:
        refused = two.dispose(plans[LEFT], code=4).stderr
        assert "other versions share or shared their content" in refused
        # The refusal is about the left filing, and is printed to whoever handles it.
        assert RIGHT not in refused
        assert two.has_object(OWN[LEFT])
    else:
        two.dispose(plans[LEFT])
        assert not two.has_object(OWN[LEFT])
    assert two.has_object(SHARED if is_content_shared else SHARED + RIGHT.encode())
    two.site.verified()
    # Nobody has to plan again when the hold is gone: both plans are what was approved.
    later.run("hold", "lift", "inspection", RIGHT, "--reason", "closed")
    for filing in (LEFT, RIGHT) if is_content_shared else (RIGHT,):
        two.dispose(plans[filing])
    assert not two.has_object(SHARED)
    assert len(two.site.verified_notes()) == 2


def test_with_the_other_filing_on_hold_a_new_plan_leaves_it_the_content(two: TwoFilings) -> None:
    plans = two.plan()
    Later(two.site, FOUR_YEARS).run("hold", "place", "inspection", RIGHT, "--reason", "spot check")
    with Served(two.site, FOUR_YEARS) as later:
        planned = later.json("dispose", "plan", uid=PLANNER)
        [alone] = planned["plans"]
        assert (planned["objects"], planned["shared_objects"]) == (1, 1)
        for uid in (FIRST, SECOND):
            later.run("dispose", "approve", alone, "--reason", "the period is over", uid=uid)
    two.dispose(alone)
    assert two.destroyed(alone) == {digest_of(OWN[LEFT]): True}
    assert two.has_object(SHARED)
    two.site.verified()
    # The first plan of the left filing is void now, and that of the right one is what it was.
    Later(two.site, AFTERWARDS).run("hold", "lift", "inspection", RIGHT, "--reason", "closed")
    assert "has changed" in two.dispose(plans[LEFT], code=4).stderr
    two.dispose(plans[RIGHT])
    assert two.destroyed(plans[RIGHT]) == {digest_of(OWN[RIGHT]): True, digest_of(SHARED): True}
    assert not two.has_object(SHARED)
    two.site.verified()


def test_while_one_disposal_is_interrupted_the_other_waits(two: TwoFilings) -> None:
    """Between beginning and certificate of the first, nobody could say which of them keeps the content."""
    plans = two.plan()
    killed_at(two.site, "index updated", AFTERWARDS, plans[LEFT])
    assert "A054" in two.dispose(plans[RIGHT], code=4).stderr
    two.dispose(plans[LEFT])
    assert two.destroyed(plans[LEFT]) == {digest_of(OWN[LEFT]): True, digest_of(SHARED): False}
    two.dispose(plans[RIGHT])
    assert not two.has_object(SHARED)
    two.site.verified()
