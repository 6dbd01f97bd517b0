from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_old_key_signs_nothing_any_more(sealed: Site) -> None:
    shutil.copy(sealed.archive / "keys/signing_key", sealed.root / "stolen")
    sealed.run("key", "rotate", "--reason", "it was seen by somebody")
    shutil.copy(sealed.root / "stolen", sealed.archive / "keys/signing_key")
    sealed.run("submit", "f/s", "--on", "2026-02-01")
    assert {each["code"] for each in sealed.findings()} == {"A042", "A044"}


def test_a_swapped_key_is_found(sealed: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other").init()
    for name in ("signing_key", "allowed_signers"):
        shutil.copy(other.archive / "keys" / name, sealed.archive / "keys" / name)
    sealed.run("submit", "f/s", "--on", "2026-02-01")
    assert {each["code"] for each in sealed.findings()} == {"A042", "A044", "A060"}


def test_a_key_change_that_the_old_key_did_not_sign_is_found(sealed: Site) -> None:
    import io

    from archiver.store import keys
    from archiver.store.events.archive_events import KeyRotated
    from archiver.store.writer import Draft

    archive = sealed.open()
    with archive.writing(5) as writer:
        signers = keys.prepare_next_key(archive.keys_folder, archive.journalled_signers())
        keys.install_next_key(archive.keys_folder, signers)
        head = archive.journal.newest_event()
        assert head is not None
        name = f"_checkpoints/key-{head.seq + 1}"
        rotated = KeyRotated(public="", reason="r")
        draft = Draft(name, rotated, {"allowed_signers": io.BytesIO(signers)})
        writer.append(draft, (name, head.commit, signers.splitlines()[-1].decode() + "\n"))
    archive.close()
    assert {each["code"] for each in sealed.findings()} == {"A048"}


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
