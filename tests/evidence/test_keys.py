from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from archiver.filings.submissions import SubmissionFacts, record_submission
from archiver.store import keys
from archiver.store.events.archive_events import KeyReasonGiven, KeyReplaced, KeyRotated
from archiver.store.keys import SigningKey
from archiver.store.writing.drafts import Draft
from archiver.store.writing.writer import HeadRule
from tests.support.forged import files_of
from tests.support.journal_model import Commit, read_journal
from tests.support.site import CHECKOUT, Site


@pytest.fixture
def sealed(site: Site) -> Site:
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-01")
    return site


def verify_tag(site: Site, tag: str) -> None:
    signers = site.archive / "keys/allowed_signers"
    site.git("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-tag", tag)


def public(site: Site) -> str:
    key = site.archive / "keys/signing_key"
    return subprocess.run(
        ["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True
    ).stdout.split()[1]


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("how", ["rotate", "replace"])
def test_a_new_key_signs_and_the_old_signatures_are_still_checked(sealed: Site, how: str) -> None:
    old = public(sealed)
    if how == "replace":
        (sealed.archive / "keys/signing_key").unlink()
        assert "archiver key replace" in sealed.run("submit", "f/s", "--on", "2026-02-01", code=8).stderr
        sealed.run("key", "rotate", "--reason", "yearly", code=8)
    out = sealed.run("key", how, "--reason", "yearly").stdout
    line = next(each for each in out.splitlines() if each.startswith("archiver-witness"))
    assert public(sealed) != old
    sealed.write("f/s/a", "2")
    sealed.catch_up()
    sealed.run("submit", "f/s", "--on", "2026-02-01")
    for tag in ("f/s/submitted", "f/s/submitted-2"):
        verify_tag(sealed, tag)
    report = sealed.json("verify", "--since", line)
    assert report["ok"]
    assert [("replaced the signing key as lost" in note["message"]) for note in report["notes"]] == [True] * (
        how == "replace"
    )
    assert len(sealed.run("key", "list").stdout.splitlines()) == 2
    assert stat.S_IMODE((sealed.archive / "keys/signing_key").stat().st_mode) == 0o600
    assert sorted(os.listdir(sealed.archive / "keys")) == ["allowed_signers", "signing_key"]


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("how", ["rotate", "replace"])
def test_stock_ssh_accepts_the_head_of_a_key_change(sealed: Site, how: str) -> None:
    """The old key endorses the new one; of a lost key, only the new one can sign."""
    old_signers = (sealed.archive / "keys/allowed_signers").read_bytes()
    if how == "replace":
        (sealed.archive / "keys/signing_key").unlink()
    sealed.run("key", how, "--reason", "seen by a visitor")
    new_signers = (sealed.archive / "keys/allowed_signers").read_bytes()
    assert new_signers.startswith(old_signers)
    [*_, reason, change, _checkpoint] = read_journal(sealed.repository)
    # Why it was changed is in no package, and the key itself is in each.
    assert (reason.body["action"], reason.event["chain"]) == ("key-reason", "house")
    assert reason.body["details"] == {"reason": "seen by a visitor"}
    assert (change.body["action"], change.event["chain"]) == (f"key-{how}", "archive")
    assert change.body["details"].keys() == {"public"}
    signing, other = (old_signers, new_signers.removeprefix(old_signers))[:: 1 if how == "rotate" else -1]
    assert is_signed_by(sealed, change, signing)
    assert not is_signed_by(sealed, change, other)
    # Both events came into effect with one head, or none of them would have.
    assert reason.head is None
    assert change.head is not None
    assert change.head["first"] <= reason.event["seq"]
    assert sealed.git("tag", "-l", "_checkpoints/*").stdout == ""
    sealed.verified()


def is_signed_by(site: Site, commit: Commit, signers: bytes) -> bool:
    """Return True if stock ssh accepts the head in a commit with these lines of ``allowed_signers`` alone."""
    for name in ("head.json", "head.sig"):
        (site.root / name).write_bytes(files_of(site, commit.oid)[name])
    (site.root / "signers").write_bytes(signers)
    verify = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "archiver@localhost", "-n", "archiver-head"]
    with open(site.root / "head.json", "rb") as stdin:
        done = subprocess.run([*verify, "-s", "head.sig"], cwd=site.root, stdin=stdin, capture_output=True)
    return done.returncode == 0


def sign_without_a_check(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submit as somebody does whose program takes any key."""
    monkeypatch.setattr(SigningKey, "is_last_of", lambda _key, _signers: True)
    with closing(site.open()) as archive:
        version = archive.index.find_version("f/s/v1")
        assert version is not None
        record_submission(archive, version, SubmissionFacts(submitted_on=date(2026, 2, 1)), 5)


def test_the_old_key_signs_nothing_any_more(sealed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(sealed.archive / "keys/signing_key", sealed.root / "stolen")
    sealed.run("key", "rotate", "--reason", "it was seen by somebody")
    shutil.copy(sealed.root / "stolen", sealed.archive / "keys/signing_key")
    check_that_nothing_is_signed(sealed)
    assert {each["code"] for each in sealed.findings()} == {"A038"}
    sign_without_a_check(sealed, monkeypatch)
    assert {each["code"] for each in sealed.findings()} == {"A039", "A042"}


def check_that_nothing_is_signed(site: Site) -> None:
    """Check that the program refuses a key that is not the journal's, and captures on without it."""
    journal = site.events()
    for command in (("submit", "f/s", "--on", "2026-02-01"), ("checkpoint",), ("key", "rotate", "--reason", "r")):
        refused = site.run(*command, code=8).stderr
        assert "is not the one that the journal names. Nothing was recorded" in refused
        assert refused.endswith("archiver key replace\n")
    assert site.events() == journal
    assert site.json("status")["unsigned_since"] is None
    site.write("f/s/a", "2")
    site.catch_up()
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    unsigned = site.events()[len(journal) :]
    assert site.json("status")["unsigned_since"] == unsigned[0]["at"]


def test_a_swapped_key_is_found(sealed: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Site(tmp_path / "other").init()
    for name in ("signing_key", "allowed_signers"):
        shutil.copy(other.archive / "keys" / name, sealed.archive / "keys" / name)
    assert {each["code"] for each in sealed.findings()} == {"A060"}
    check_that_nothing_is_signed(sealed)
    # A refused command counts as an interrupted one, after which the list of keys is the journal's again.
    assert {each["code"] for each in sealed.findings()} == {"A038"}
    sign_without_a_check(sealed, monkeypatch)
    assert {each["code"] for each in sealed.findings()} == {"A039", "A042"}


@pytest.mark.parametrize("signer", ["the new key", "nobody"])
def test_a_key_change_that_the_old_key_did_not_sign_is_found(sealed: Site, signer: str) -> None:
    with closing(sealed.open()) as archive, archive.writing(5) as writer:
        signers = keys.prepare_next_key(archive.keys_folder, archive.journalled_signers())
        if signer == "nobody":
            (archive.keys_folder / "signing_key").unlink()
        drafts = [
            Draft("key", KeyReasonGiven(reason="r")),
            Draft("key", KeyRotated(public=""), {"allowed_signers": io.BytesIO(signers)}),
        ]
        rule = HeadRule.NEXT_KEY if signer == "the new key" else HeadRule.IF_POSSIBLE
        writer.write_batch(drafts, head_rule=rule)
        keys.install_next_key(archive.keys_folder, signers)
    # What comes after is signed, and does not make up for it.
    sealed.run("checkpoint")
    assert [(each["code"], each["object"]) for each in sealed.findings()] == [("A048", "key")]


def test_a_key_that_replaces_a_lost_one_needs_its_own_reason(sealed: Site) -> None:
    """The reason of an earlier change says nothing of this one, of which nobody else vouches."""
    sealed.run("key", "rotate", "--reason", "yearly")
    with closing(sealed.open()) as archive, archive.writing(5) as writer:
        signers = keys.prepare_next_key(archive.keys_folder, archive.journalled_signers())
        replaced = Draft("key", KeyReplaced(public=""), {"allowed_signers": io.BytesIO(signers)})
        seq = writer.write_batch([replaced], head_rule=HeadRule.NEXT_KEY)[0].seq
        keys.install_next_key(archive.keys_folder, signers)
    [finding] = sealed.findings()
    assert (finding["code"], finding["object"]) == ("A030", f"event {seq}")
    assert "reason" in finding["message"]


@pytest.mark.needs("ssh-keygen")
def test_killed_between_journal_and_key_the_next_writer_finishes_it(sealed: Site) -> None:
    old = public(sealed)
    killer = (
        "import os, signal, sys\n"
        "def listen(event, arguments):\n"
        "    if event == 'archiver.step' and arguments[0] == 'index updated': os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(listen)\n"
        "from archiver.cli.main import main\n"
        f"main(['--config', {os.fspath(sealed.config)!r}, 'key', 'rotate', '--reason', 'r'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", killer], cwd=CHECKOUT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert public(sealed) == old
    sealed.run("submit", "f/s", "--on", "2026-02-01")
    assert public(sealed) != old
    sealed.verified()


def test_a_backup_of_the_key_is_readable_for_its_owner_only(sealed: Site, tmp_path: Path) -> None:
    target = tmp_path / "safe"
    sealed.run("key", "backup", "--to", target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert stat.S_IMODE((target / "signing_key").stat().st_mode) == 0o600
    shutil.rmtree(sealed.archive / "keys")
    shutil.copytree(target, sealed.archive / "keys")
    sealed.run("submit", "f/s", "--on", "2026-02-01")
    sealed.verified()
    sealed.run("key", "backup", "--to", target, code=8)
    sealed.run("key", "backup", "--to", sealed.watch / "x", code=2)
    sealed.run("key", "rotate", "--reason", " ", code=2)
