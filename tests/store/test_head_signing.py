"""What is signed at the end of a batch, what is noted of it, and what becomes of events without a usable key."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from archiver.store import keys
from archiver.store.failpoints import Step
from archiver.store.head_history import HeadHistory
from archiver.verify.sshsig import is_valid_signature
from tests.support.journal_model import Commit, read_journal, sha256
from tests.support.killed import BATCH_STEPS, killed_at, run_killed
from tests.support.site import Site

IN_EFFECT = (Step.REFS_MOVED, Step.REFS_DURABLE, Step.INDEX_UPDATED)


@pytest.fixture
def one(site: Site) -> Site:
    """One version; nothing but the next change is due to be written."""
    site.write("f/s/a", "1")
    site.catch_up()
    return site


def noted(site: Site) -> list[bytes]:
    """The heads in ``spool/signing``, with the one that was cut, if any."""
    return [
        line for line in (site.archive / "spool/signing").read_bytes().splitlines(keepends=True) if line.strip()
    ]


def heads(site: Site) -> list[dict[str, Any]]:
    return [commit.head for commit in read_journal(site.repository) if commit.head is not None]


def head_digests(site: Site) -> set[str]:
    return {
        sha256(commit.files["head.json"]) for commit in read_journal(site.repository) if commit.files["head.json"]
    }


def abandoned(site: Site) -> list[str]:
    """The digests that any head names as abandoned, each as often as it is named."""
    return [digest for head in heads(site) for digest in head.get("abandoned", [])]


# --- a crash between the signature and the end of the batch


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_the_next_head_names_a_signed_one_exactly_if_its_events_never_came_into_effect(
    one: Site, step: Step
) -> None:
    before = len(one.events())
    one.write("f/s/a", "2")
    one.write("g/s/b", "2")
    killed_at(one, step)
    [statement] = noted(one)
    is_in_effect = step in IN_EFFECT
    assert len(one.events()) == (json.loads(statement)["last"] if is_in_effect else before)
    assert (sha256(statement) in head_digests(one)) == is_in_effect
    one.catch_up()
    one.check_journal()
    one.verified()
    assert abandoned(one) == ([] if is_in_effect else [sha256(statement)])
    assert sorted(one.tags()) == ["f/s/v1", "f/s/v2", "g/s/v1"]
    # Later heads do not name it again.
    one.write("f/s/a", "3")
    one.catch_up()
    assert len(abandoned(one)) == (0 if is_in_effect else 1)
    one.verified()


@pytest.mark.parametrize("last_step", [Step.HEAD_SIGNED, Step.REFS_MOVED])
def test_several_abandoned_heads_are_named_by_the_head_that_comes_into_effect(one: Site, last_step: Step) -> None:
    """Also if the machine dies again right after it: nobody signs it a second time."""
    one.write("f/s/a", "2")
    for _ in range(2):
        killed_at(one, Step.HEAD_SIGNED)
    killed_at(one, last_step)
    statements = noted(one)
    assert len(statements) == 3
    one.write("f/s/a", "3")
    one.catch_up()
    lost = statements if last_step is Step.HEAD_SIGNED else statements[:2]
    assert sorted(abandoned(one)) == sorted(map(sha256, lost))
    one.check_journal()
    one.verified()
    one.write("f/s/a", "4")
    one.catch_up()
    assert len(noted(one)) == 1, "what is settled is noted no longer"
    assert len(abandoned(one)) == len(lost)


@pytest.mark.parametrize("is_killed", [False, True], ids=["in effect", "signed in vain"])
def test_a_head_that_a_restored_backup_abandoned_and_a_newer_one_has_is_not_named(
    one: Site, tmp_path: Path, is_killed: bool
) -> None:
    """Somebody restores a backup, the archive goes on, and a newer backup turns up: its heads are in effect again."""
    shutil.copytree(one.repository, tmp_path / "older.git", symlinks=True)
    one.write("f/s/a", "2")
    one.catch_up()
    [newer_head] = noted(one)
    shutil.copytree(one.repository, tmp_path / "newer.git", symlinks=True)
    _replace_repository(one, tmp_path / "older.git")
    if is_killed:
        killed_at(one, Step.HEAD_SIGNED)
    else:
        one.catch_up()
        assert abandoned(one) == [sha256(newer_head)]
    assert json.loads(noted(one)[-1])["abandoned"] == [sha256(newer_head)]
    _replace_repository(one, tmp_path / "newer.git")
    one.write("f/s/a", "3")
    lost = [sha256(line) for line in noted(one) if line != newer_head]
    assert len(lost) == 1
    one.catch_up()
    assert abandoned(one) == lost
    one.check_journal()
    one.verified()


def test_a_batch_that_fails_without_a_crash_leaves_a_head_to_be_named(one: Site) -> None:
    """The same process goes on, and has to look again at what it has noted."""
    archive = one.open()
    tip = one.git("rev-parse", "journal").stdout
    lock = one.repository / "refs/heads/journal.lock"
    try:
        with archive.writing(5) as writer:
            lock.write_text("")
            with pytest.raises(Exception, match="update-ref"):
                writer.append(_tick())
            lock.unlink()
            assert one.git("rev-parse", "journal").stdout == tip
            [statement] = noted(one)
            writer.append(_tick())
            assert abandoned(one) == [sha256(statement)]
            writer.append(_tick())
            assert abandoned(one) == [sha256(statement)]
    finally:
        archive.close()
    one.check_journal()
    one.verified()


def test_a_head_that_another_process_left_is_named_by_one_that_has_signed_before(one: Site) -> None:
    """The service and a command write in turn, and the command is killed."""
    with closing(one.open()) as archive:
        with archive.writing(5) as writer:
            writer.append(_tick())
        killed_at(one, Step.HEAD_SIGNED, "hold", "place", "inspection", "f", "--reason", "r")
        statement = noted(one)[-1]
        assert sha256(statement) not in head_digests(one)
        with archive.writing(5) as writer:
            writer.append(_tick())
    assert abandoned(one) == [sha256(statement)]
    one.check_journal()
    one.verified()


def test_an_unsigned_batch_does_not_settle_the_head_of_one_that_failed(one: Site) -> None:
    lock = one.repository / "refs/heads/journal.lock"
    with closing(one.open()) as archive, archive.writing(5) as writer:
        lock.write_text("")
        with pytest.raises(Exception, match="update-ref"):
            writer.append(_tick())
        lock.unlink()
        [statement] = noted(one)
        _lose(one)
        writer.append(_tick())
        restore_key(one)
        writer.append(_tick())
    assert abandoned(one) == [sha256(statement)]
    one.check_journal()
    one.verified()


def test_a_service_that_fails_for_days_does_not_fill_the_disk_with_heads(one: Site) -> None:
    """Each attempt signs a head, which names all before it: together they would grow with the square."""
    lock, size, statements = one.repository / "refs/heads/journal.lock", 0, set[bytes]()
    with closing(one.open()) as archive, archive.writing(5) as writer:
        lock.write_text("")
        for _ in range(60):
            with pytest.raises(Exception, match="update-ref"):
                writer.append(_tick())
            statements.add(noted(one)[-1])
            size = max(size, (one.archive / "spool/signing").stat().st_size)
        lock.unlink()
        writer.append(_tick())
    assert len(statements) == 60
    assert set(abandoned(one)) == set(map(sha256, statements))
    assert len(abandoned(one)) == 60
    assert size < 20 * max(map(len, statements))
    one.check_journal()
    one.verified()


def _tick() -> Any:
    from archiver.store.events.evidence_events import ClockTicked
    from archiver.store.writing.drafts import Draft

    return Draft("clock", ClockTicked())


# --- the notes of what was signed


def _cut(path: Path) -> None:
    """The power was cut while the line was written, so that nobody can have signed it."""
    path.write_bytes(path.read_bytes()[:-20])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


def _zeros(path: Path) -> None:
    """What some filesystems leave of bytes that were not synced."""
    path.write_bytes(b"\0" * path.stat().st_size)


def _other_text(path: Path) -> None:
    path.write_bytes(b'[1,2]\n"head"\n{"format":2}\n\xff\xfe\n' + b"[" * 5000 + b"\n")


@pytest.mark.parametrize("damage", [_cut, _empty, _remove, _zeros, _other_text])
def test_what_was_never_a_head_is_not_named(one: Site, damage: Callable[[Path], None]) -> None:
    one.write("f/s/a", "2")
    killed_at(one, Step.HEAD_SIGNED)
    damage(one.archive / "spool/signing")
    one.catch_up()
    assert abandoned(one) == []
    one.check_journal()
    one.verified()


def test_a_cut_line_does_not_hide_the_heads_before_and_after_it(one: Site) -> None:
    one.write("f/s/a", "2")
    for _ in range(2):
        killed_at(one, Step.HEAD_SIGNED)
    first, _ = noted(one)
    _cut(one.archive / "spool/signing")
    killed_at(one, Step.HEAD_SIGNED)
    third = noted(one)[-1]
    one.catch_up()
    assert abandoned(one) == [sha256(first), sha256(third)]
    one.check_journal()
    one.verified()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_notes_that_cannot_be_read_leave_events_unsigned_until_they_can(one: Site, kind: str) -> None:
    path = one.archive / "spool/signing"
    path.unlink()
    {"folder": path.mkdir, "link": lambda: path.symlink_to(path), "pipe": lambda: os.mkfifo(path)}[kind]()
    one.write("f/s/a", "2")
    one.catch_up()
    assert one.tags() == ["f/s/v2", "f/s/v1"]
    assert [finding["code"] for finding in one.findings()] == ["A038"]
    assert "cannot be signed" in one.run("status", "--check", code=9).stderr
    refused = one.run("submit", "f/s", "--on", "2026-01-05", code=8).stderr
    assert str(path) in refused
    assert "Nothing was recorded" in refused
    path.rmdir() if kind == "folder" else path.unlink()
    one.run("submit", "f/s", "--on", "2026-01-05")
    one.check_journal()
    one.verified()


@pytest.mark.needs("root")
def test_what_cannot_be_noted_is_not_signed(one: Site) -> None:
    """A full disk: a head that is signed has to be known to the next process."""
    spool = one.archive / "spool"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", spool], check=True)
    try:
        (spool / "filler").write_bytes(b"x" * 4096)
        one.run("hold", "place", "inspection", "f", "--reason", "r")
        assert "No space left" in one.run("checkpoint", code=8).stderr
    finally:
        subprocess.run(["umount", "-l", spool], check=True)
    assert [finding["code"] for finding in one.findings()] == ["A038"]
    one.run("checkpoint")
    one.check_journal()
    one.verified()
    assert abandoned(one) == []


def test_a_head_of_a_history_that_was_lost_is_named(one: Site, tmp_path: Path) -> None:
    """A repository from a backup: somebody may have kept the head of what came after it."""
    shutil.copytree(one.repository, tmp_path / "backup", symlinks=True)
    one.write("f/s/a", "2")
    one.catch_up()
    statement = noted(one)[-1]
    assert sha256(statement) in head_digests(one)
    shutil.rmtree(one.repository)
    shutil.copytree(tmp_path / "backup", one.repository, symlinks=True)
    one.catch_up()
    assert sha256(statement) not in head_digests(one)
    assert abandoned(one) == [sha256(statement)]
    one.check_journal()
    one.verified()


# --- without a usable key


def _lose(site: Site) -> None:
    (site.archive / "keys/signing_key").rename(site.root / "kept key")


def _swap(site: Site) -> None:
    _lose(site)
    keys.create_keys(site.root / "other keys")
    shutil.copy(site.root / "other keys/signing_key", site.archive / "keys/signing_key")


def _damage(site: Site) -> None:
    _lose(site)
    (site.archive / "keys/signing_key").write_bytes((site.root / "kept key").read_bytes()[:100])
    (site.archive / "keys/signing_key").chmod(0o600)


def restore_key(site: Site) -> None:
    (site.root / "kept key").replace(site.archive / "keys/signing_key")


@pytest.mark.parametrize("lose", [_lose, _swap, _damage])
def test_without_a_usable_key_capture_goes_on_unsigned_until_the_next_head_covers_all(
    one: Site, lose: Callable[[Site], None]
) -> None:
    first_unsigned = len(one.events()) + 1
    lose(one)
    one.write("f/s/a", "2")
    one.catch_up()
    one.write("f/s/a", "3")
    one.catch_up()
    one.run("hold", "place", "inspection", "f", "--reason", "r")
    assert one.tags() == ["f/s/v3", "f/s/v2", "f/s/v1"]
    commits = one.check_journal(is_signed=False)
    assert [commit.head for commit in commits[first_unsigned - 1 :]] == [None] * 3
    # It is seen by everybody who looks.
    status = one.json("status")
    assert status["unsigned_since"] == commits[first_unsigned - 1].event["at"]
    assert "cannot be signed" in one.run("status", "--check", code=9).stderr
    [finding] = one.findings()
    assert (finding["code"], finding["parameters"]) == ("A038", {"seq": first_unsigned})
    # What has to be signed is refused, and changes nothing.
    tip = one.git("rev-parse", "journal").stdout
    for command in (
        ("submit", "f/s", "--on", "2026-01-05"),
        ("checkpoint",),
        ("key", "rotate", "--reason", "r"),
    ):
        assert "signing key" in one.run(*command, code=8).stderr
    assert one.git("rev-parse", "journal").stdout == tip
    assert one.git("tag", "-l", "f/s/submitted").stdout == ""
    # The key is back.
    restore_key(one)
    one.write("f/s/a", "4")
    one.catch_up()
    commits = one.check_journal()
    head = heads(one)[-1]
    assert (head["first"], head["batch"], head["last"]) == (first_unsigned, len(commits), len(commits))
    notes = one.verified()["notes"]
    assert [note["code"] for note in notes] == ["note.signed-late"]
    assert f"{first_unsigned} to {len(commits) - 1}" in notes[0]["message"]
    assert one.json("status")["unsigned_since"] is None
    one.run("submit", "f/s", "--on", "2026-01-05")
    one.verified()


def test_without_a_key_nobody_looks_for_a_head_further_and_further_back(
    one: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For months of unsigned events, that would take longer with each."""
    _lose(one)
    one.run("hold", "place", "inspection", "f", "--reason", "r")

    def look(history: HeadHistory) -> None:
        raise AssertionError

    monkeypatch.setattr(HeadHistory, "signed_heads", look)
    with closing(one.open()) as archive, archive.writing(5) as writer:
        writer.append(_tick())
    one.check_journal(is_signed=False)


def test_a_missing_key_is_seen_before_anything_is_written_without_it(one: Site) -> None:
    _lose(one)
    assert one.json("status")["unsigned_since"]
    assert "cannot be signed" in one.run("status", "--check", code=9).stderr


def test_a_kill_of_an_unsigned_batch_leaves_all_or_nothing(one: Site) -> None:
    _lose(one)
    for step in BATCH_STEPS[1:]:
        one.write("f/s/a", step)
        killed_at(one, step)
        one.catch_up()
        one.check_journal(is_signed=False)
    assert len(one.tags()) == len(BATCH_STEPS)
    restore_key(one)
    one.write("f/s/a", "signed again")
    one.catch_up()
    one.check_journal()
    assert abandoned(one) == []
    one.verified()


def test_an_archive_is_not_created_without_a_signature(bare_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first head is the one by which everything after it is known."""
    bare_site.init()
    [first, *_] = [commit for commit in bare_site.check_journal() if commit.head]
    assert (first.head["first"], first.head["last"]) == (1, 4)  # type: ignore[index]


# --- another key


def _signers(site: Site) -> list[bytes]:
    return (site.archive / "keys/allowed_signers").read_bytes().splitlines(keepends=True)


def _is_signed_by(commit: Commit, signer: bytes) -> bool:
    head, signature = commit.files["head.json"], commit.files["head.sig"]
    assert head is not None
    assert signature is not None
    return is_valid_signature(head, signature, signer, "archiver-head")


def test_a_rotation_is_signed_by_the_old_key_and_what_follows_by_the_new_one(one: Site) -> None:
    one.run("key", "rotate", "--reason", "yearly")
    *_, reason, rotation, checkpoint = one.check_journal()
    assert [commit.body["action"] for commit in (reason, rotation, checkpoint)] == [
        "key-reason",
        "key-rotate",
        "checkpoint",
    ]
    assert reason.head is None, "both are one batch"
    # The event of the key is in every package, and has no free text.
    assert reason.body["details"] == {"reason": "yearly"}
    assert "yearly" not in str(rotation.body)
    assert (reason.event["chain"], rotation.event["chain"]) == ("house", "archive")
    old, new = _signers(one)
    assert [_is_signed_by(rotation, old), _is_signed_by(rotation, new)] == [True, False]
    assert [_is_signed_by(checkpoint, old), _is_signed_by(checkpoint, new)] == [False, True]
    one.write("f/s/a", "2")
    one.catch_up()
    assert _is_signed_by(one.check_journal()[-1], new)
    one.verified()


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_a_rotation_that_is_killed_leaves_one_key_in_force(one: Site, step: Step) -> None:
    killed_at(one, step, "key", "rotate", "--reason", "yearly")
    is_rotated = step in IN_EFFECT
    one.write("f/s/a", "2")
    one.catch_up()
    assert len(_signers(one)) == (2 if is_rotated else 1)
    assert _is_signed_by(one.check_journal()[-1], _signers(one)[-1])
    one.verified()
    one.run("key", "rotate", "--reason", "again")
    one.check_journal()
    one.verified()


@pytest.mark.parametrize("lose", [_lose, _swap, _damage])
def test_a_lost_key_is_replaced_and_the_new_one_signs_everything_since(
    one: Site, lose: Callable[[Site], None]
) -> None:
    lose(one)
    one.write("f/s/a", "2")
    one.catch_up()
    first_unsigned = len(one.events())
    one.run("key", "replace", "--reason", "the disk broke")
    commits = one.check_journal()
    replaced = next(commit for commit in commits if commit.body["action"] == "key-replace")
    old, new = _signers(one)
    assert [_is_signed_by(replaced, old), _is_signed_by(replaced, new)] == [False, True]
    assert replaced.head is not None
    assert replaced.head["first"] == first_unsigned
    notes = one.verified()["notes"]
    assert {note["code"] for note in notes} == {"note.key-replaced", "note.signed-late"}
    assert any("the disk broke" in note["message"] for note in notes)
    one.run("submit", "f/s", "--on", "2026-01-05")
    one.verified()
    # The old key, should it come back, signs nothing any more.
    restore_key(one)
    tip = one.git("rev-parse", "journal").stdout
    assert "not the one that the journal names" in one.run("checkpoint", code=8).stderr
    assert one.git("rev-parse", "journal").stdout == tip
    one.write("f/s/a", "3")
    one.catch_up()
    assert [finding["code"] for finding in one.findings()] == ["A038"]


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_a_replacement_that_is_killed_can_be_repeated(one: Site, step: Step) -> None:
    _lose(one)
    killed_at(one, step, "key", "replace", "--reason", "the disk broke")
    if step not in IN_EFFECT:
        one.run("key", "replace", "--reason", "the disk broke")
    one.write("f/s/a", "2")
    one.catch_up()
    one.check_journal()
    assert len(_signers(one)) == 2
    assert {note["code"] for note in one.verified()["notes"]} == {"note.key-replaced"}


def test_killed_at_random_moments_with_and_without_a_key(one: Site) -> None:
    """The key comes and goes while the machine dies again and again."""
    for number, step in enumerate(BATCH_STEPS * 2):
        if number % 3 == 0:
            _lose(one)
        one.write("f/s/a", str(number))
        run_killed(one, step)
        if number % 3 == 1:
            restore_key(one)
    one.write("f/s/a", "the end")
    if (one.root / "kept key").exists():
        restore_key(one)
    one.catch_up()
    one.check_journal()
    one.verified()
    named = abandoned(one)
    assert len(named) == len(set(named))
    assert not set(named) & head_digests(one)


def _replace_repository(site: Site, backup: Path) -> None:
    shutil.rmtree(site.repository)
    shutil.copytree(backup, site.repository, symlinks=True)
