"""The verifier on the signed heads of packages: each damage to them, to keys, and to tokens is found, and named."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.store.keys import SigningKey
from tests.audit.altered_package import (
    BODIES,
    HEADS,
    JOURNAL,
    AlteredPackage,
    ForgedJournal,
    digest,
    encode,
    sentence,
)
from tests.audit.conftest import copy_package, make_site
from tests.support.authority import Authority
from tests.support.site import Site

pytestmark = pytest.mark.needs("processes")


# --- signed heads


HEAD_MEMBERS = {
    "archive": digest(b""),
    "format": 3,
    "first": 1,
    "batch": 1,
    "event": digest(b""),
    "chain_heads": digest(b""),
    "chains": 1,
    "previous_head": digest(b""),
    "surplus": 1,
}


@pytest.mark.parametrize("member", HEAD_MEMBERS)
@pytest.mark.parametrize("place", [-1, -3])
def test_a_head_that_states_something_else_is_found_although_its_signature_is_valid(
    forged: ForgedJournal, member: str, place: int
) -> None:
    number = forged.head_numbers[place]
    forged.head_changes[number] = {member: HEAD_MEMBERS[member]}
    assert forged.link().findings() == [(HEADS, sentence("head", number, member))]


@pytest.mark.parametrize("batch", [None, "1", True, 0, 1 << 40])
def test_a_batch_begins_with_an_event_of_its_head(forged: ForgedJournal, batch: object) -> None:
    number = forged.head_numbers[-1]
    forged.head_changes[number] = {"batch": batch}
    assert forged.link().findings() == [(HEADS, sentence("head", number, "batch"))]


def test_a_head_of_the_package_that_is_named_as_abandoned_is_found(forged: ForgedJournal) -> None:
    number, earlier_head = forged.head_numbers[-1], forged.package.lines(HEADS)[-2]
    forged.head_changes[number] = {"abandoned": [digest(earlier_head)]}
    assert forged.link().findings() == [(HEADS, sentence("head", number, "abandoned"))]


def test_events_that_were_signed_late_are_listed_as_unchecked(site: Site) -> None:
    """Somebody without the key may have written them, and the next head covers them."""
    site.write("f/s/a", "1")
    site.catch_up()
    (site.archive / "keys/signing_key").rename(site.root / "put-away")
    for text in ("2", "3"):
        site.write("f/s/a", text)
        site.catch_up()
    (site.root / "put-away").rename(site.archive / "keys/signing_key")
    site.run("audit", "--to", "package")
    package = AlteredPackage(site.root / "package")
    assert package.findings() == []
    first, last = package.action_numbers("capture")[-2:]
    assert sentence("signed late", first, last) in package.checker.unchecked
    assert package.checker.heads.keys().isdisjoint({first, last})


def test_a_head_that_names_another_key_is_found(forged: ForgedJournal, foreign_key: SigningKey) -> None:
    number = forged.head_numbers[-3]
    forged.head_changes[number] = {"key": foreign_key.fingerprint}
    assert forged.link().findings() == [(HEADS, sentence("other key", number))]


@pytest.mark.parametrize("place", [-1, -3])
def test_an_altered_head_without_the_key_is_found(package: AlteredPackage, place: int) -> None:
    heads = package.lines(HEADS)
    head = json.loads(heads[place])
    heads[place] = encode(head | {"chains": head["chains"] + 1})
    package.write_lines(HEADS, heads)
    found = package.findings()
    assert (HEADS, sentence("head", head["last"], "chains")) in found
    # The newest head's own signature tells, an older one is named by the head after it.
    if place == -1:
        assert (f"data/heads/{head['last']}.sig", "the signature is not valid") in found
    else:
        assert (HEADS, sentence("head", package.head_numbers()[place + 1], "previous_head")) in found


def test_a_head_that_is_missing_in_between_is_found(package: AlteredPackage) -> None:
    numbers, heads = package.head_numbers(), package.lines(HEADS)
    package.write_lines(HEADS, [*heads[:-3], *heads[-2:]])
    package.remove(f"data/heads/{numbers[-3]}.sig")
    assert package.findings() == [(HEADS, sentence("head", numbers[-2], "first, previous_head"))]


def test_a_missing_signature_is_found(package: AlteredPackage) -> None:
    for number in package.head_numbers()[-3::2]:
        package.remove(f"data/heads/{number}.sig")
    expected = [(f"data/heads/{number}.sig", "the file is missing") for number in package.head_numbers()[-3::2]]
    assert package.findings() == expected


def test_missing_heads_are_found(package: AlteredPackage) -> None:
    package.remove(HEADS)
    shutil.rmtree(package.folder / "data/heads")
    assert package.findings() == [(HEADS, sentence("no head", 1))]


def test_a_signature_without_a_head_is_found(package: AlteredPackage) -> None:
    package.write("data/heads/999.sig", b"x")
    package.write("data/heads/1.json", b"{}")
    assert sorted(where for where, _ in package.findings()) == ["data/heads/1.json", "data/heads/999.sig"]


@pytest.mark.parametrize("place", [-1, -3])
@pytest.mark.parametrize("flaw", ["other key", "other namespace", "other head", "no signature"])
def test_every_signature_is_by_the_key_in_force_for_heads(
    plain: Site, package: AlteredPackage, foreign_key: SigningKey, place: int, flaw: str
) -> None:
    """Also one that is not calculated: the key and the namespace in it are looked at."""
    own_key, head = SigningKey(plain.archive / "keys"), package.lines(HEADS)[place]
    signature = {
        "other key": foreign_key.sign(head, "archiver-head"),
        "other namespace": own_key.sign(head, "git"),
        "other head": own_key.sign(head + b"x", "archiver-head"),
        "no signature": "x",
    }[flaw]
    path = f"data/heads/{package.head_numbers()[place]}.sig"
    package.write(path, signature.encode())
    expected = [(path, "the signature is not valid")]
    assert package.findings() == ([] if (flaw, place) == ("other head", -3) else expected)


def test_the_head_of_a_witness_line_is_calculated_too(plain: Site, package: AlteredPackage) -> None:
    head, number = package.lines(HEADS)[-3], package.head_numbers()[-3]
    archive = digest(package.lines(JOURNAL)[0]).removeprefix("sha256:")[:16]
    witness = f"archiver-witness 2 {archive} {number} {digest(head)[7:]} 2026-11-27T00:00:00Z"
    assert package.findings(witness) == []
    assert package.checker.verified_head_count == 2
    wrong = SigningKey(plain.archive / "keys").sign(head + b"x", "archiver-head")
    package.write(f"data/heads/{number}.sig", wrong.encode())
    assert package.findings() == []
    assert package.findings(witness) == [(f"data/heads/{number}.sig", "the signature is not valid")]
    other = witness.replace(f" {number} ", f" {package.head_numbers()[-2]} ")
    assert (JOURNAL, sentence("witness")) in package.findings(other)
    assert (JOURNAL, sentence("witness")) in package.findings(witness.replace("witness 2", "witness 1"))
    assert (JOURNAL, sentence("witness")) in package.findings(witness.replace("witness 2", "witness 3"))


def test_an_older_head_in_place_of_the_newest_is_found(package: AlteredPackage) -> None:
    heads, numbers = package.lines(HEADS), package.head_numbers()
    package.write_lines(HEADS, [*heads[:-1], heads[-3]])
    signature = (package.folder / f"data/heads/{numbers[-3]}.sig").read_bytes()
    package.write(f"data/heads/{numbers[-1]}.sig", signature)
    found = package.findings()
    assert (HEADS, sentence("beyond", numbers[-3])) in found
    assert (HEADS, sentence("no head", numbers[-2] + 1)) in found


def test_heads_in_another_order_are_found(package: AlteredPackage) -> None:
    heads, numbers = package.lines(HEADS), package.head_numbers()
    heads[-1], heads[-2] = heads[-2], heads[-1]
    package.write_lines(HEADS, heads)
    assert (HEADS, sentence("beyond", numbers[-2])) in package.findings()


# --- keys


def test_a_new_key_without_the_signature_of_the_old_one_is_found(rotated: Site, tmp_path: Path) -> None:
    package = copy_package(rotated, tmp_path)
    (number,) = package.action_numbers("key-rotate")
    place = package.head_numbers().index(number)
    head, new_key = package.lines(HEADS)[place], SigningKey(rotated.archive / "keys")
    package.write(f"data/heads/{number}.sig", new_key.sign(head, "archiver-head").encode())
    assert package.findings() == [(f"data/heads/{number}.sig", sentence("key"))]


def test_a_new_key_without_a_head_is_found(rotated: Site, tmp_path: Path) -> None:
    package = copy_package(rotated, tmp_path)
    (number,) = package.action_numbers("key-rotate")
    place = package.head_numbers().index(number)
    package.write_lines(HEADS, [line for n, line in enumerate(package.lines(HEADS)) if n != place])
    package.remove(f"data/heads/{number}.sig")
    assert (f"data/heads/{number}.sig", sentence("key")) in package.findings()


def test_a_second_first_event_brings_no_key(
    forged: ForgedJournal, foreign_key: SigningKey, tmp_path: Path
) -> None:
    """Its key would need nobody's signature."""
    number = len(forged.events)
    own = (forged.package.folder / "data/journal/1/allowed_signers").read_bytes()
    both = own + (tmp_path / "foreign/allowed_signers").read_bytes()
    first = json.loads(json.dumps(forged.bodies[0]))
    first["attachments"] = [{"name": "allowed_signers", "digest": digest(both), "size": len(both)}]
    forged.bodies[-1] = first
    forged.package.write(f"data/journal/{number}/allowed_signers", both)
    forged.package.write("data/allowed_signers", both)
    forged.link()
    head = forged.package.lines(HEADS)[-1]
    forged.package.write(f"data/heads/{number}.sig", foreign_key.sign(head, "archiver-head").encode())
    assert (f"data/journal/{number}/allowed_signers", sentence("key")) in forged.package.findings()


def test_a_replaced_key_is_listed_as_unchecked(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    (site.archive / "keys/signing_key").unlink()
    site.run("key", "replace", "--reason", "lost in the move")
    site.run("audit", "--to", "package")
    package = AlteredPackage(site.root / "package")
    assert package.findings() == []
    (number,) = package.action_numbers("key-replace")
    assert sentence("lost key", number) in package.checker.unchecked
    assert package.checker.verified_head_count == 2


def test_a_replaced_key_without_a_head_is_found(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.run("key", "replace", "--reason", "lost in the move")
    site.run("audit", "--to", "package")
    package = AlteredPackage(site.root / "package")
    (number,) = package.action_numbers("key-replace")
    place = package.head_numbers().index(number)
    package.write_lines(HEADS, [line for n, line in enumerate(package.lines(HEADS)) if n != place])
    package.remove(f"data/heads/{number}.sig")
    assert (f"data/heads/{number}.sig", sentence("key")) in package.findings()


def test_other_keys_beside_the_journal_are_found(
    package: AlteredPackage, foreign_key: SigningKey, tmp_path: Path
) -> None:
    """The commands of the README read this file."""
    package.write("data/allowed_signers", (tmp_path / "foreign/allowed_signers").read_bytes())
    assert package.findings() == [("data/allowed_signers", sentence("signers"))]


# --- commands of the README


@pytest.mark.needs("ssh-keygen")
def test_the_readme_says_how_to_check_a_body_and_a_head_by_hand(package: AlteredPackage) -> None:
    text = (package.folder / "README.txt").read_text("utf-8")
    number = package.head_numbers()[-2]
    commands = [
        line.strip() for line in text.splitlines() if re.match(r"    (sed|grep|ssh-keygen|sha256sum \.)", line)
    ]
    done = [
        subprocess.run(
            ["bash", "-c", command.replace("M", str(number)).replace("Np", f"{number}p")],
            cwd=package.folder,
            capture_output=True,
            text=True,
        )
        for command in commands[:5]
    ]
    assert [each.returncode for each in done] == [0] * 5, done
    event, body, _, signature, head = (each.stdout for each in done)
    assert json.loads(event)["body"] == "sha256:" + body.split()[0]
    assert 'Good "archiver-head" signature' in signature
    assert head.split()[0] == digest(package.lines(HEADS)[-2]).removeprefix("sha256:")


# --- timestamp tokens


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    authority = Authority(tmp_path / "authority")
    yield authority
    authority.close()


@pytest.mark.needs("openssl")
def test_a_token_is_over_a_signed_head(bare_site: Site, authority: Authority) -> None:
    bare_site.init("--tsa-url", authority.url, "--tsa-root", str(authority.root))
    bare_site.write("f/s/a", "1")
    bare_site.catch_up()
    bare_site.run("checkpoint")
    bare_site.write("f/s/a", "2")
    bare_site.catch_up()
    bare_site.run("audit", "--to", "package")
    package = AlteredPackage(bare_site.root / "package")
    assert package.findings() == []
    # The export makes a checkpoint with a token as well, whose event has the newest head.
    assert sentence("tokens", 2) in package.checker.unchecked
    number, newest = package.action_numbers("timestamp")
    covered = json.loads(package.lines(BODIES)[number - 1])["details"]["seq"]
    assert covered == package.action_numbers("checkpoint")[0]
    assert package.checker.verified_head_count == 3
    # A stranger checks the token with the commands of the README.
    text = (package.folder / "README.txt").read_text("utf-8").split("\n时间戳令牌")[1].split("\n格式 1")[0]
    command = " && ".join(
        line.strip() for line in text.splitlines() if line.startswith(("    grep", "    openssl"))
    )
    command = command.replace('"last":M,', f'"last":{covered},').replace("/N/", f"/{number}/")
    done = subprocess.run(["bash", "-c", command], cwd=package.folder, capture_output=True, text=True)
    assert "Verification: OK" in done.stdout + done.stderr, done
    # Its head, and no other one.
    signature = (package.folder / f"data/heads/{covered}.sig").read_bytes()
    own_key = SigningKey(bare_site.archive / "keys")
    package.write(f"data/heads/{covered}.sig", own_key.sign(b"x", "archiver-head").encode())
    assert package.findings() == [(f"data/heads/{covered}.sig", "the signature is not valid")]
    package.write(f"data/heads/{covered}.sig", signature)
    forged = ForgedJournal(package, own_key)
    assert forged.link().findings() == []
    details = forged.body("timestamp")["details"]
    covered = details["seq"]
    for change in ({"head": digest(b"")}, {"head": None}, {"seq": covered - 1}, {"seq": None}):
        before = dict(details)
        details.update(change)
        assert forged.link().findings() == [(f"data/journal/{newest}/token.tsr", sentence("token"))]
        details.update(before)
