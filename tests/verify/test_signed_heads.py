"""What verify finds in chains and signed heads, when somebody with git, with the key, or with both was at work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver.store import keys
from archiver.store.git.repository import Repository
from archiver.verify.whole_archive import verify_archive
from tests.support import forged
from tests.support.forged import SignedBy, append, in_chain_of
from tests.support.journal_model import NOTHING, Commit, canonical, filing_of, read_journal, replayed, sha256
from tests.support.site import UNGUARDED, Site
from tests.test_golden import unpacked

pytestmark = pytest.mark.needs("processes")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two filings; the newest event is a hold, which moves no ref."""
    site = Site(tmp_path_factory.mktemp("heads") / "site").init()
    for text in ("1", "2"):
        site.write("f/s/a", text)
        site.write("g/s/a", text)
        site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-05")
    site.run("hold", "place", "first", "g", "--reason", "r")
    site.run("hold", "place", "second", "f", "--reason", "r")
    site.verified()
    return site


@pytest.fixture
def site(original: Site, tmp_path: Path) -> Site:
    """A copy in which somebody forges."""
    shutil.copytree(original.root, tmp_path / "site", symlinks=True)
    copy = Site(tmp_path / "site")
    copy.config.write_text(original.config.read_text().replace(os.fspath(original.root), os.fspath(copy.root)))
    return copy


def found(site: Site) -> list[tuple[str, str]]:
    """Code and object of each finding, as the checks found them."""
    archive = site.open()
    try:
        return [(each.code, each.object) for each in verify_archive(archive.root, archive.repository).findings]
    finally:
        archive.close()


def the_key(site: Site, change: Callable[[dict[str, Any]], object] = lambda head: None) -> SignedBy:
    return SignedBy(site.archive / "keys", change)


def other_key(site: Site) -> Path:
    """The folder of a key that the journal does not name."""
    folder = site.root / "other keys"
    if not folder.exists():
        keys.create_keys(folder)
    return folder


def chain_of(site: Site, filing: str) -> str:
    return next(
        commit.event["chain"]
        for commit in read_journal(site.repository)
        if commit.is_format_2 and filing_of(commit) == filing
    )


HOLD = {"name": "forged", "reason": "r", "by": None}


def hold(site: Site, filing: str = "f") -> Callable[[dict[str, Any]], object]:
    return in_chain_of(site, filing, "hold", **HOLD)


# --- an event that is as it should be


def test_an_event_by_somebody_with_the_key_is_no_finding(site: Site) -> None:
    """It proves that the forger of these tests would pass, were it not for what each test changes."""
    append(site, hold(site), head=the_key(site))
    assert found(site) == []
    site.check_journal()


def test_an_event_by_somebody_without_the_key_is_unsigned(site: Site) -> None:
    seq = append(site, hold(site))
    assert found(site) == [("A038", f"event {seq}")]


# --- the places of events in chains (A036)


def number(change: int) -> dict[str, Any]:
    return {"change_visible": lambda event: event.update(n=event["n"] + change)}


CHAIN_FAULTS: dict[str, dict[str, Any]] = {
    "a gap": number(1),
    "a wide gap": number(1000),
    "a number twice": number(-1),
    "begun anew": {"change_visible": lambda event: event.update(n=1, chain_prev=NOTHING)},
    "another predecessor": {"change_visible": lambda event: event.update(chain_prev=f"sha256:{'1' * 64}")},
    "no predecessor": {"change_visible": lambda event: event.update(chain_prev=NOTHING)},
    "the predecessor of all events": {"change_visible": lambda event: event.update(chain_prev=event["prev"])},
}
# The newest event of all is of this very chain.
CHAIN_FAULTS["the predecessor of all events"]["filing"] = "g"


@pytest.mark.parametrize("name", CHAIN_FAULTS)
def test_an_event_out_of_its_place_is_one_finding_and_the_chain_goes_on(site: Site, name: str) -> None:
    fault = dict(CHAIN_FAULTS[name])
    filing = fault.pop("filing", "f")
    seq = append(site, hold(site, filing), head=the_key(site), **fault)
    expected = [("A036", f"event {seq}")] * (2 if name == "begun anew" else 1)
    assert found(site) == expected
    # What the program writes afterwards follows it, and is no finding.
    site.run("hold", "place", "after", filing, "--reason", "r")
    assert found(site) == expected


def test_a_second_chain_of_a_filing_is_a_finding(site: Site) -> None:
    """A package of the filing would leave out what stands there."""
    seq = append(site, lambda event: (hold(site)(event), event.update(chain="cd" * 16)), head=the_key(site))
    assert found(site) == [("A036", f"event {seq}")]
    # The program goes on in the first one.
    site.run("hold", "place", "after", "f", "--reason", "r")
    assert read_journal(site.repository)[-1].event["chain"] == chain_of(site, "f")
    assert found(site) == [("A036", f"event {seq}")]


def test_an_event_in_the_chain_of_another_filing_is_a_finding(site: Site) -> None:
    """A package of the other one would name this filing."""
    foreign = chain_of(site, "g")
    seq = append(site, lambda event: (hold(site)(event), event.update(chain=foreign)), head=the_key(site))
    assert found(site) == [("A036", f"event {seq}")] * 2
    site.run("hold", "place", "after", "g", "--reason", "r")
    assert read_journal(site.repository)[-1].event["chain"] == foreign
    assert found(site) == [("A036", f"event {seq}")] * 2


@pytest.mark.parametrize("chain", ["archive", "house"])
def test_an_event_of_a_filing_in_a_chain_of_another_kind_cannot_be_read(site: Site, chain: str) -> None:
    seq = append(site, lambda event: (hold(site)(event), event.update(chain=chain)), head=the_key(site))
    assert found(site) == [("A030", f"event {seq}")]


def test_a_filing_named_in_the_details_counts_as_the_filing(site: Site) -> None:
    """An export of one filing, in the chain of another."""
    foreign = chain_of(site, "g")
    members = {"chain": foreign, "details": {"of_filing": "f"}}
    seq = append(site, lambda event: event.update(members), head=the_key(site))
    assert found(site) == [("A036", f"event {seq}")] * 2


# --- bodies (A037)


def test_a_body_that_was_exchanged_is_found_and_the_rest_is_checked(site: Site) -> None:
    """The bodies of two holds change places: nothing that is signed names anything but their digests."""
    first, second = len(read_journal(site.repository)) - 1, len(read_journal(site.repository))
    bodies = {seq: read_journal(site.repository)[seq - 1].files["body.json"] for seq in (first, second)}

    def swap(seq: int, files: dict[str, bytes]) -> dict[str, bytes]:
        other = {first: second, second: first}.get(seq)
        return files if other is None else files | {"body.json": bodies[other] or b""}

    forged.rewrite(site, swap)
    assert found(site) == [("A037", f"event {first}"), ("A037", f"event {second}")]
    # Both may have been holds.
    assert f"event {first}, {second}" in site.run("dispose", "plan", code=4).stderr


def test_a_body_that_was_taken_away_is_found_and_stops_nothing(site: Site) -> None:
    last = len(read_journal(site.repository))
    forged.rewrite(site, lambda seq, files: _without(files, "body.json") if seq == last else files)
    assert found(site) == [("A030", f"event {last}")]
    site.write("f/s/a", "3")
    site.catch_up()
    assert "f/s/v3" in site.tags()
    assert found(site) == [("A030", f"event {last}")]


def _without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in names}


# --- the newest events without a head (A038)


def test_a_head_that_was_taken_away_leaves_the_newest_events_unsigned(site: Site) -> None:
    last = len(read_journal(site.repository))
    forged.rewrite(site, lambda seq, files: _without(files, "head.json", "head.sig") if seq == last else files)
    assert found(site) == [("A038", f"event {last}")]


def test_the_finding_says_from_which_event_on(site: Site) -> None:
    last = len(read_journal(site.repository))
    for _ in range(3):
        append(site, hold(site))
    [finding] = site.findings()
    assert (finding["object"], finding["parameters"]) == (f"event {last + 3}", {"seq": last + 1})


def test_unsigned_events_that_a_later_head_covers_are_a_note(site: Site) -> None:
    """Somebody without the key may have written them while the key was missing; who knows when it was says so."""
    first = append(site, hold(site))
    append(site, hold(site, "g"))
    site.run("hold", "place", "after", "f", "--reason", "r")
    notes = site.verified()["notes"]
    assert [(note["code"], note["object"]) for note in notes] == [("note.signed-late", f"event {first + 2}")]
    assert f"{first} to {first + 1}" in notes[0]["message"]


# --- heads that state something else (A039)

HEAD_CHANGES: dict[str, Any] = {
    "archive": f"sha256:{'1' * 64}",
    "format": 3,
    "first": 1,
    "last": 1,
    "event": f"sha256:{'1' * 64}",
    "chain_heads": f"sha256:{'1' * 64}",
    "chains": 1,
    "previous_head": NOTHING,
}


@pytest.mark.parametrize("name", HEAD_CHANGES)
def test_a_head_that_states_something_else_is_named_with_the_member(site: Site, name: str) -> None:
    """Signed with the archive's key: by somebody who has it, and hides something."""
    seq = append(site, hold(site), head=the_key(site, lambda head: head.update({name: HEAD_CHANGES[name]})))
    [finding] = site.findings()
    assert (finding["code"], finding["object"]) == ("A039", f"event {seq}")
    assert name in finding["message"]
    site.run("hold", "place", "after", "f", "--reason", "r")
    assert found(site) == [("A039", f"event {seq}")]


BROKEN_HEADS: dict[str, Callable[[dict[str, Any]], object]] = {
    "without a key": lambda head: head.pop("key"),
    "with a key that is none": lambda head: head.update(key=5),
    "without its batch": lambda head: head.pop("batch"),
    "of a batch that begins later": lambda head: head.update(batch=head["last"] + 1),
    "of a batch that begins before what it covers": lambda head: head.update(batch=head["first"] - 1),
    "of a batch that is none": lambda head: head.update(batch="1"),
    "with something abandoned that is no digest": lambda head: head.update(abandoned=["head"]),
    "with something abandoned that is no list": lambda head: head.update(abandoned="head"),
    "with a truth for a number": lambda head: head.update(first=True),
    "with an unknown member": lambda head: head.update(until="2030"),
}


@pytest.mark.parametrize("name", BROKEN_HEADS)
def test_a_head_that_is_none_is_found(site: Site, name: str) -> None:
    seq = append(site, hold(site), head=the_key(site, BROKEN_HEADS[name]))
    assert found(site) == [("A039", f"event {seq}")]


def test_a_head_that_is_not_canonical_is_found(site: Site) -> None:
    """Of a member that stands there twice, one program takes the first and another the last."""
    commits = read_journal(site.repository)
    files = forged.signed_head(replayed(commits), the_key(site))
    data = files["head.json"].replace(b'"format":2', b'"format":1,"format":2')
    signature = keys.SigningKey(site.archive / "keys").sign(data, "archiver-head").encode()
    forged.replace_newest(site, files={"head.json": data, "head.sig": signature})
    assert ("A039", f"event {len(commits)}") in found(site)


def test_a_head_of_the_journal_that_is_named_as_abandoned_is_found(site: Site) -> None:
    """One of both is a second history, and only its signer knows which."""
    present = read_journal(site.repository)[-1].files["head.json"] or b""
    seq = append(site, hold(site), head=the_key(site, lambda head: head.update(abandoned=[sha256(present)])))
    assert found(site) == [("A039", f"event {seq}")]


def notes(site: Site) -> list[tuple[str, str]]:
    """Code and object of each note."""
    return [(note["code"], note["object"]) for note in site.json("verify", code=None)["notes"]]


def test_a_noted_head_whose_events_are_gone_is_a_note(site: Site) -> None:
    """It is one after a crash as well, and the next head names it then."""
    assert notes(site) == []
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", "refs/heads/journal~1")
    assert found(site) == []
    assert notes(site) == [("note.head-not-in-journal", "spool/signing")]
    noted = (site.archive / "spool/signing").read_bytes()
    append(site, hold(site), head=the_key(site, lambda head: head.update(abandoned=[sha256(noted)])))
    assert notes(site) == []


@pytest.mark.parametrize("content", [b"", b"\n\n", b"cut", b'{"archive":"sha256:00"}\n', b"\xff\n"])
def test_what_was_cut_in_the_file_of_noted_heads_was_never_signed(site: Site, content: bytes) -> None:
    (site.archive / "spool/signing").write_bytes(content)
    assert notes(site) == []
    (site.archive / "spool/signing").unlink()
    (site.archive / "spool/signing").mkdir()
    assert notes(site) == []


def test_an_abandoned_head_is_no_finding(site: Site) -> None:
    append(site, hold(site), head=the_key(site, lambda head: head.update(abandoned=[f"sha256:{'1' * 64}"])))
    assert found(site) == []


# --- signatures (A039)


def _unsigned(site: Site) -> SignedBy:
    return SignedBy(site.archive / "keys", signature=b"")


def _by_another_key(site: Site) -> SignedBy:
    return SignedBy(other_key(site))


def _for_git(site: Site) -> SignedBy:
    """By the right key, but as a tag or a commit would be: git signs whatever it is given."""
    return SignedBy(site.archive / "keys", namespace="git")


def _of_an_older_head(site: Site) -> SignedBy:
    newest = [commit for commit in read_journal(site.repository) if commit.head][-1]
    return SignedBy(site.archive / "keys", signature=newest.files["head.sig"])


def _of_no_form(site: Site) -> SignedBy:
    return SignedBy(site.archive / "keys", signature=b"-----BEGIN SSH SIGNATURE-----\nAAAA\n")


@pytest.mark.parametrize("sign", [_unsigned, _by_another_key, _for_git, _of_an_older_head, _of_no_form])
def test_a_head_without_a_valid_signature_is_found(site: Site, sign: Callable[[Site], SignedBy]) -> None:
    seq = append(site, hold(site), head=sign(site))
    assert found(site) == [("A039", f"event {seq}")]
    # The next head, which is signed, does not make it good.
    site.run("hold", "place", "after", "f", "--reason", "r")
    assert found(site) == [("A039", f"event {seq}")]


def test_an_older_head_in_the_place_of_the_newest_is_found(site: Site) -> None:
    """With its own signature, which is valid."""
    *_, older, newest = [commit for commit in read_journal(site.repository) if commit.head]
    files = {name: older.files[name] or b"" for name in ("head.json", "head.sig")}
    forged.replace_newest(site, files=files)
    assert found(site) == [("A039", f"event {newest.event['seq']}")]


def test_a_head_that_is_missing_in_between_is_found_at_the_next_one(site: Site) -> None:
    """Commits are not signed, so that the journal can be written anew without it."""
    heads = [commit.event["seq"] for commit in read_journal(site.repository) if commit.head]
    gone, following = heads[-3], heads[-2]
    forged.rewrite(site, lambda seq, files: _without(files, "head.json", "head.sig") if seq == gone else files)
    assert found(site) == [("A039", f"event {following}")]


# --- the journal written anew


def _leave_out(event_seq: int) -> Callable[[int, dict[str, bytes]], dict[str, bytes] | None]:
    return lambda seq, files: None if seq == event_seq else files


def test_an_event_left_out_without_the_key_is_found_whatever_is_made_to_fit(site: Site) -> None:
    """Numbers and digests of all events after it are made to fit; no head is."""
    hold_seq = len(read_journal(site.repository)) - 1
    forged.rewrite(site, _leave_out(hold_seq), is_relinked=True)
    assert {code for code, _ in found(site)} == {"A039"}
    forged.rewrite(site, lambda seq, files: files, is_relinked=True, key=other_key(site))
    assert {code for code, _ in found(site)} == {"A039"}


def test_an_event_left_out_with_the_key_is_found_by_a_line_that_left_the_house(site: Site) -> None:
    """Whoever has the key, the company itself, is bound by nothing else."""
    line = site.run("checkpoint", "--print").stdout.strip()
    hold_seq = next(event["seq"] for event in site.events("hold"))
    forged.rewrite(site, _leave_out(hold_seq), is_relinked=True, key=site.archive / "keys")
    assert found(site) == []
    assert "A046" in site.run("verify", "--since", line, code=5).stdout


def test_a_journal_cut_behind_a_head_is_found_by_a_line_that_left_the_house(site: Site) -> None:
    line = site.run("checkpoint", "--print").stdout.strip()
    commits = read_journal(site.repository)
    forged.move_journal(site, commits[-3].oid)
    assert found(site) == []
    assert "A046" in site.run("verify", "--since", line, code=5).stdout


def test_a_journal_cut_within_a_batch_is_found(site: Site) -> None:
    site.run("key", "rotate", "--reason", "yearly")
    reason = next(event["seq"] for event in site.events("key-reason"))
    forged.move_journal(site, read_journal(site.repository)[reason - 1].oid)
    assert ("A038", f"event {reason}") in found(site)


def test_another_history_of_the_same_number_is_found_by_either_line(site: Site, tmp_path: Path) -> None:
    """Two heads of one number, both signed: each denies the other."""
    shutil.copytree(site.root, tmp_path / "second", symlinks=True)
    second = Site(tmp_path / "second")
    second.config.write_text(site.config.read_text().replace(os.fspath(site.root), os.fspath(second.root)))
    lines = [each.run("checkpoint", "--print").stdout.strip() for each in (site, second)]
    for each, own, other in ((site, *lines), (second, *lines[::-1])):
        assert found(each) == []
        each.run("verify", "--since", own)
        assert "A046" in each.run("verify", "--since", other, code=5).stdout


# --- keys (A048)


def _rotation(signers: bytes, **changes: Any) -> dict[str, Any]:
    members = {"action": "key-rotate", "object": "key", "chain": "archive", "class": "act"}
    members["details"] = {"public": signers.splitlines()[-1].decode()}
    return {"change": lambda event: event.update(members | changes), "files": {"allowed_signers": signers}}


def _signers(site: Site, *folders: Path) -> bytes:
    own = (site.archive / "keys/allowed_signers").read_bytes()
    return own + b"".join((folder / "allowed_signers").read_bytes() for folder in folders)


def test_a_key_that_the_old_one_signed_is_in_force(site: Site) -> None:
    append(site, **_rotation(_signers(site, other_key(site))), head=the_key(site))
    append(site, hold(site), head=SignedBy(other_key(site)))
    # The file outside of the journal is not written by this test.
    assert {code for code, _ in found(site)} == {"A060"}


@pytest.mark.parametrize("signed", ["not", "by the new key", "by a third key", "later"])
def test_a_key_that_the_old_one_did_not_sign_is_found(site: Site, signed: str) -> None:
    keys.create_keys(site.root / "third")
    head = {"by the new key": SignedBy(other_key(site)), "by a third key": SignedBy(site.root / "third")}
    append(site, **_rotation(_signers(site, other_key(site))), head=head.get(signed))
    if signed in ("not", "later"):
        append(site, hold(site), head=SignedBy(other_key(site)))
    assert [each for each in found(site) if each[0] != "A060"] == [("A048", "key")]


@pytest.mark.parametrize("what", ["a key left out", "two keys", "an earlier key altered"])
def test_a_list_of_keys_that_was_rewritten_is_found(site: Site, what: str) -> None:
    keys.create_keys(site.root / "third")
    new = (other_key(site) / "allowed_signers").read_bytes()
    signers = {
        "a key left out": new,
        "two keys": _signers(site, other_key(site), site.root / "third"),
        "an earlier key altered": _signers(site).replace(b"archiver-head", b"any") + new,
    }[what]
    append(site, **_rotation(signers), head=the_key(site))
    assert ("A048", "key") in found(site)


def test_a_replaced_key_is_a_note_with_its_reason_and_the_new_key_is_in_force(site: Site) -> None:
    append(
        site, lambda event: event.update({"action": "key-reason", "object": "key", "details": {"reason": "fire"}})
    )
    replaced = _rotation(_signers(site, other_key(site)), action="key-replace")
    append(site, **replaced, head=SignedBy(other_key(site)))
    append(site, hold(site), head=the_key(site))
    seq = len(read_journal(site.repository))
    assert [each for each in found(site) if each[0] != "A060"] == [("A039", f"event {seq}")]
    report = site.json("verify", code=5)
    assert "fire" in next(note["message"] for note in report["notes"] if note["code"] == "note.key-replaced")


@pytest.mark.parametrize("is_signed_later", [False, True])
def test_a_replaced_key_that_the_new_one_did_not_sign_is_found(site: Site, is_signed_later: bool) -> None:
    append(
        site, lambda event: event.update({"action": "key-reason", "object": "key", "details": {"reason": "fire"}})
    )
    append(site, **_rotation(_signers(site, other_key(site)), action="key-replace"))
    if is_signed_later:
        append(site, hold(site), head=SignedBy(other_key(site)))
    assert ("A048", "key") in found(site)


def test_a_replaced_key_without_a_reason_is_a_finding(site: Site) -> None:
    replaced = _rotation(_signers(site, other_key(site)), action="key-replace")
    seq = append(site, **replaced, head=SignedBy(other_key(site)))
    assert ("A030", f"event {seq}") in found(site)


def _format(signers: bytes) -> dict[str, Any]:
    details = {"number": 2, "optional": [], "needed_to_write": [], "needed_to_read": [], "release": "0.1.0"}
    members = {"action": "format", "object": "archive", "chain": "archive", "class": "act", "details": details}
    return {"change": lambda event: event.update(members), "files": {"allowed_signers": signers}}


def test_the_list_of_an_upgrade_brings_no_key(site: Site) -> None:
    """It may only say that the last key signs heads as well."""
    append(site, **_format(_signers(site)), head=the_key(site))
    assert found(site) == []
    append(site, **_format(_signers(site, other_key(site))), head=SignedBy(other_key(site)))
    assert ("A048", "archive") in found(site)


def test_a_key_that_signs_only_for_git_signs_no_head(site: Site) -> None:
    signers = _signers(site, other_key(site)).replace(b"git,archiver-head", b"git")
    seq = append(site, **_rotation(signers), head=the_key(site))
    append(site, hold(site), head=SignedBy(other_key(site)))
    assert ("A039", f"event {seq + 1}") in found(site)


# --- what an upgrade states of earlier events (A036)


@pytest.fixture
def upgraded(tmp_path: Path) -> Site:
    site = unpacked(tmp_path / "golden")
    site.run("upgrade")
    return site


@pytest.mark.parametrize("change", [{"count": 3}, {"digest": f"sha256:{'1' * 64}"}, {"salt": "00" * 16}], ids=str)
def test_a_false_statement_about_earlier_events_is_found(upgraded: Site, change: dict[str, Any]) -> None:
    """The company could hide one of them in a package of the filing."""
    stated = upgraded.events("earlier-events")[0]
    details = stated["details"] | change
    members = {"action": "earlier-events", "object": stated["object"], "chain": stated["chain"], "class": "act"}
    seq = append(upgraded, lambda event: event.update(members, details=details), head=the_key(upgraded))
    assert found(upgraded) == [("A036", f"event {seq}")]


def test_an_earlier_event_that_was_left_out_is_found_by_the_count_of_its_filing(upgraded: Site) -> None:
    """By somebody with the key, who makes everything after it fit."""
    events = upgraded.events()
    first = next(number for number, event in enumerate(events, 1) if "chain" in event)
    seq, filing = next(
        (event["seq"], event["object"].split("/")[0]) for event in events[: first - 1] if event["action"] == "hold"
    )
    stated = next(event["seq"] for event in upgraded.events("earlier-events") if event["object"] == filing)
    forged.rewrite(upgraded, _leave_out(seq), is_relinked=True, key=upgraded.archive / "keys")
    assert ("A036", f"event {stated - 1}") in found(upgraded)


def test_an_earlier_event_without_its_attachment_counts(upgraded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is there, and that its list of changes is damaged is found once."""
    commit = next(each for each in read_journal(upgraded.repository) if each.body["action"] == "capture")
    read = Repository.read

    def read_without(self: Repository, name: str) -> bytes:
        if name == f"{commit.oid}:changes.jsonl":
            raise KeyError(name)
        return read(self, name)

    monkeypatch.setattr(Repository, "read", read_without)
    codes = {code for code, _ in found(upgraded)}
    assert "A030" in codes
    assert "A036" not in codes


# --- checked by others


@pytest.mark.needs("ssh-keygen")
def test_stock_openssh_accepts_every_head(site: Site, tmp_path: Path) -> None:
    """By hand, with the file that the archive has for it."""
    signers = site.archive / "keys/allowed_signers"
    check = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", keys.PRINCIPAL]
    heads = [commit for commit in read_journal(site.repository) if commit.head]
    assert len(heads) > 4
    for commit in heads:
        (tmp_path / "sig").write_bytes(commit.files["head.sig"] or b"")
        for namespace, code in (("archiver-head", 0), ("git", 255)):
            command = [*check, "-n", namespace, "-s", tmp_path / "sig"]
            done = subprocess.run(command, input=commit.files["head.json"], capture_output=True)
            assert done.returncode == code, done.stderr
        line = [*check[:2], "find-principals", "-f", signers, "-s", tmp_path / "sig"]
        assert subprocess.run(line, capture_output=True, text=True).stdout.strip() == keys.PRINCIPAL
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", site.archive / "keys/signing_key"], capture_output=True, text=True
    )
    assert (heads[-1].head or {})["key"] in listed.stdout


def test_the_model_of_the_tests_and_verify_agree(site: Site) -> None:
    site.check_journal()
    assert found(site) == []
    seq = append(site, hold(site), head=the_key(site, lambda head: head.update(chains=9)))
    with pytest.raises(AssertionError, match=f"the head at event {seq}"):
        site.check_journal()
    assert json.loads(canonical({"a": 1})) == {"a": 1}
    assert isinstance(read_journal(site.repository)[0], Commit)
