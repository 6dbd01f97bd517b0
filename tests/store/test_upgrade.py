"""An archive of format 1 becomes one of format 2 in a single batch, and nothing that it holds is rewritten."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archiver.store import keys, lock
from archiver.store.failpoints import Step
from archiver.store.git.repository import JOURNAL
from tests.support import forged
from tests.support.journal_model import Commit, filing_of, read_journal, sha256
from tests.support.killed import BATCH_STEPS, killed_at
from tests.support.site import UNGUARDED, Site
from tests.test_golden import FACTS, unpacked

pytestmark = pytest.mark.needs("processes")

IN_EFFECT = (Step.REFS_MOVED, Step.REFS_DURABLE, Step.INDEX_UPDATED)
#: Of this release itself: of which event a database was made, who held a lock, what is being signed.
OWN_FILES = ("index.db", "state.db", "lock", "daemon.lock", "spool/signing")
SINCE = [word for line in FACTS["witness lines"] for word in ("--since", line)]


@pytest.fixture
def golden(tmp_path: Path) -> Site:
    """The archive of format 1, with the settings of this release, which any first writing puts in place."""
    site = unpacked(tmp_path / "golden")
    site.run("reindex")
    return site


def contents(site: Site) -> dict[str, bytes]:
    """Every file of the archive but those of this release."""
    return {
        os.fspath(path.relative_to(site.archive)): path.read_bytes()
        for path in sorted(site.archive.rglob("*"))
        if path.is_file()
        and not os.fspath(path.relative_to(site.archive)).startswith(OWN_FILES)
        # What git leaves of an import that was given up, until the next writing begins.
        and not path.name.startswith("tmp_")
    }


def refs(site: Site) -> dict[str, str]:
    lines = site.git("for-each-ref", "--format=%(refname) %(objectname)").stdout.splitlines()
    return dict(line.split(" ") for line in lines)


def check_upgraded(site: Site) -> list[Commit]:
    commits = site.check_journal()
    assert [commit.body["action"] for commit in commits].count("format") == 1
    assert b"archiver-head" in (site.archive / "keys/allowed_signers").read_bytes()
    report = site.json("verify", *SINCE)
    assert report["findings"] == []
    return commits


def test_it_adds_one_batch_and_changes_nothing_else(golden: Site) -> None:
    before, refs_before, journal = contents(golden), refs(golden), read_journal(golden.repository)
    out = golden.run("upgrade").stdout
    assert f"from journal event {len(journal) + 1} on" in out
    commits = check_upgraded(golden)
    assert [commit.oid for commit in commits[: len(journal)]] == [commit.oid for commit in journal]
    added = commits[len(journal) :]
    assert [commit.body["action"] for commit in added] == ["format", *["earlier-events"] * (len(added) - 1)]
    assert [commit.head is not None for commit in added] == [False] * (len(added) - 1) + [True]
    head = added[-1].head or {}
    assert (head["first"], head["batch"], head["last"]) == (len(journal) + 1, len(journal) + 1, len(commits))
    assert head["archive"] == journal[0].digest
    # Of all refs only the journal has moved, and of all files only the list of keys was written anew.
    assert {ref for ref, oid in refs(golden).items() if refs_before.get(ref) != oid} == {JOURNAL}
    after = contents(golden)
    changed = {name for name, data in before.items() if after.get(name) != data}
    assert changed <= {"keys/allowed_signers", f"archive.git/{JOURNAL}", "archive.git/packed-refs"}
    *older, last = before["keys/allowed_signers"].splitlines(keepends=True)
    assert after["keys/allowed_signers"].splitlines(keepends=True) == [
        *older,
        last.replace(b'namespaces="git"', b'namespaces="git,archiver-head"'),
    ]


def test_each_filing_gets_the_count_and_a_digest_of_its_earlier_events(golden: Site) -> None:
    golden.run("upgrade")
    earlier: dict[str, list[bytes]] = {}
    stated: dict[str, dict[str, Any]] = {}
    for commit in read_journal(golden.repository):
        action, filing = commit.body["action"], commit.body["object"].split("/")[0]
        if action == "earlier-events":
            stated[filing] = commit.body["details"]
        elif not commit.is_format_2 and action in OF_A_FILING:
            earlier.setdefault(filing, []).append(commit.files["event.json"] or b"")
    assert stated.keys() == earlier.keys() >= {"推荐", "退役"}
    for filing, events in earlier.items():
        digest = hashlib.sha256(bytes.fromhex(stated[filing]["salt"]) + b"".join(events)).hexdigest()
        assert stated[filing] == {
            "count": len(events),
            "digest": f"sha256:{digest}",
            "salt": stated[filing]["salt"],
        }
    assert len({details["salt"] for details in stated.values()}) == len(stated)


#: Kinds of events of format 1 whose object begins with the name of their filing, as docs/journal.md says.
OF_A_FILING = frozenset(
    {
        *("capture", "submit", "filing-set", "filing-end", "notice", "notice-answer"),
        *("change-question", "change-decision", "signal", "display-check", "hold", "lift"),
    }
)


def test_what_is_written_afterwards_belongs_to_the_chains_that_it_began(golden: Site) -> None:
    golden.run("upgrade")
    chains = {
        filing_of(commit): commit.event["chain"]
        for commit in read_journal(golden.repository)
        if commit.is_format_2
    }
    golden.write("推荐/变更/新 说明.txt", "new")
    golden.catch_up()
    golden.run("hold", "place", "调查", "推荐", "--reason", "r")
    golden.run("submit", "推荐/变更", "--on", "2025-06-20")
    golden.run("key", "rotate", "--reason", "after the upgrade")
    commits = check_upgraded(golden)
    about = [commit for commit in commits if commit.is_format_2 and filing_of(commit) == "推荐"]
    assert len(about) > 3
    assert {commit.event["chain"] for commit in about} == {chains["推荐"]}
    assert [commit.event["n"] for commit in about] == list(range(1, len(about) + 1))


def test_a_clone_goes_on_with_it(golden: Site, tmp_path: Path) -> None:
    """No ref is forced: whoever keeps a copy sees only what was added."""
    clone = tmp_path / "clone.git"
    safe = ["-c", f"safe.directory={golden.repository}", "-c", f"safe.directory={clone}"]
    golden.git("clone", "-q", "--mirror", os.fspath(golden.repository), os.fspath(clone))
    golden.run("upgrade")
    fetched = subprocess.run(
        ["git", *safe, f"--git-dir={clone}", "fetch", os.fspath(golden.repository), "refs/*:refs/*"],
        capture_output=True,
        text=True,
        check=True,
    )
    [moved] = [line for line in fetched.stderr.splitlines() if "->" in line]
    # A line of a forced update begins with a plus.
    assert re.fullmatch(r"   [0-9a-f]+\.\.[0-9a-f]+ +journal +-> journal", moved)
    assert read_journal(clone) == read_journal(golden.repository)


def test_a_second_upgrade_does_nothing(golden: Site) -> None:
    golden.run("upgrade")
    golden.run("upgrade")
    before, tip = contents(golden), refs(golden)[JOURNAL]
    assert "has format 2 already" in golden.run("upgrade").stdout
    assert (contents(golden), refs(golden)[JOURNAL]) == (before, tip)


def test_a_new_archive_needs_none(site: Site) -> None:
    before = refs(site)
    assert "has format 2 already" in site.run("upgrade").stdout
    assert refs(site) == before


# --- killed, and repeated


@pytest.mark.parametrize("step", BATCH_STEPS)
@pytest.mark.parametrize(
    "next_command", [("upgrade",), ("run", "--once", "--settle", "0")], ids=lambda words: words[0]
)
def test_killed_at_any_step_it_is_done_or_not_begun(
    golden: Site, step: Step, next_command: tuple[str, ...]
) -> None:
    count = len(read_journal(golden.repository))
    killed_at(golden, step, "upgrade")
    statement = (golden.archive / "spool/signing").read_bytes()
    is_in_effect = step in IN_EFFECT
    assert len(read_journal(golden.repository)) == (json.loads(statement)["last"] if is_in_effect else count)
    # Whoever only reads sees an archive of one format or the other.
    assert len(golden.json("log")) == len(FACTS["log"])
    if is_in_effect or next_command == ("upgrade",):
        golden.run(*next_command)
    else:
        assert "archiver upgrade" in golden.run(*next_command, code=3).stderr
        golden.run("upgrade")
    commits = check_upgraded(golden)
    named = [digest for commit in commits if commit.head for digest in commit.head.get("abandoned", [])]
    assert named == ([] if is_in_effect else [sha256(statement)])
    golden.write("推荐/变更/新 说明.txt", "new")
    golden.catch_up()
    check_upgraded(golden)


# --- refused: nothing changes


def check_refused(site: Site, code: int, *words: str) -> None:
    before = contents(site)
    done = site.run("upgrade", code=code)
    for word in words:
        assert word in done.stderr
    assert contents(site) == before


def test_a_running_service_is_not_upgraded_under_its_feet(golden: Site) -> None:
    with lock.hold_lock(golden.archive / "daemon.lock", 0):
        check_refused(golden, 6, "daemon.lock", "Nothing was changed")
    golden.run("upgrade")
    check_upgraded(golden)


def _no_key(site: Site) -> None:
    (site.archive / "keys/signing_key").unlink()


def _other_key(site: Site) -> None:
    keys.create_keys(site.root / "other")
    shutil.copy(site.root / "other/signing_key", site.archive / "keys/signing_key")


def _cut_key(site: Site) -> None:
    path = site.archive / "keys/signing_key"
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize("lose", [_no_key, _other_key, _cut_key])
def test_without_the_key_it_is_not_begun(golden: Site, lose: Callable[[Site], None]) -> None:
    kept = (golden.archive / "keys/signing_key").read_bytes()
    lose(golden)
    check_refused(golden, 8, "signing key", "Nothing was recorded")
    assert len(golden.json("log")) == len(FACTS["log"])
    (golden.archive / "keys/signing_key").write_bytes(kept)
    (golden.archive / "keys/signing_key").chmod(0o600)
    golden.run("upgrade")
    check_upgraded(golden)


@pytest.mark.parametrize("lose", [_no_key, _other_key])
def test_a_lost_key_is_replaced_together_with_the_upgrade(golden: Site, lose: Callable[[Site], None]) -> None:
    """Nothing else could upgrade the archive."""
    lose(golden)
    golden.run("key", "replace", "--reason", "the disk broke")
    commits = check_upgraded(golden)
    added = [commit.body["action"] for commit in commits if commit.is_format_2]
    assert [action for action in added if action not in ("earlier-events", "repository-settings")] == [
        *("format", "key-reason", "key-replace", "checkpoint")
    ]
    golden.write("推荐/变更/新 说明.txt", "new")
    golden.catch_up()
    check_upgraded(golden)


def _lose_newest(site: Site) -> None:
    oid = site.git("rev-parse", f"{JOURNAL}:event.json").stdout.strip()
    _lose_object(site, oid)


def _lose_object(site: Site, oid: str) -> None:
    path = site.repository / "objects" / oid[:2] / oid[2:]
    if not path.exists():
        # It is in a pack: git makes loose objects of all of them, and the pack goes.
        for pack in (site.repository / "objects/pack").glob("*.pack"):
            moved = site.root / pack.name
            shutil.move(pack, moved)
            pack.with_suffix(".idx").unlink()
            with open(moved, "rb") as stream:
                unpack = ["git", "-c", f"safe.directory={site.repository}", f"--git-dir={site.repository}"]
                subprocess.run([*unpack, "unpack-objects", "-q"], stdin=stream, check=True)
    path.chmod(0o600)
    path.unlink()


def _empty_ref(site: Site) -> None:
    site.git(*UNGUARDED, "update-ref", JOURNAL, f"{JOURNAL}~0")
    (site.repository / JOURNAL).parent.mkdir(parents=True, exist_ok=True)
    (site.repository / JOURNAL).write_bytes(b"")


def _lose_tag(site: Site) -> None:
    site.git(*UNGUARDED, "tag", "-d", "推荐/首次/v1")


@pytest.mark.parametrize("damage", [_lose_newest, _empty_ref, _lose_tag])
def test_a_damaged_journal_is_not_upgraded(golden: Site, damage: Callable[[Site], None]) -> None:
    damage(golden)
    check_refused(golden, 8, "reindex --accept", "Nothing was changed")


def test_an_earlier_event_that_cannot_be_read_stays_one_finding(golden: Site) -> None:
    """It is of no filing, and the newest event says nothing of the format of the archive."""
    seq = forged.append_files(golden, {"event.json": b"event\n"})
    assert "archiver upgrade" in golden.run("run", "--once", code=3).stderr
    golden.run("upgrade")
    golden.write("推荐/变更/新 说明.txt", "new")
    golden.catch_up()
    found = [(finding["code"], finding["object"]) for finding in golden.findings()]
    assert found == [("A030", f"event {seq}")]
    assert f"event {seq}" in golden.run("dispose", "plan", code=4).stderr


# --- other ways that end in format 2


def test_an_accepted_loss_ends_in_format_2(golden: Site) -> None:
    lost = read_journal(golden.repository)[-1]
    _lose_newest(golden)
    golden.run("reindex", "--accept", "--yes")
    commits = golden.check_journal()
    assert golden.json("verify")["findings"] == []
    actions = [commit.body["action"] for commit in commits if commit.is_format_2]
    assert set(actions) == {"recover", "format", "earlier-events"}
    assert lost.oid not in {commit.oid for commit in commits}
    golden.write("推荐/变更/新 说明.txt", "new")
    golden.catch_up()
    golden.check_journal()
    assert golden.json("verify")["findings"] == []


def test_without_a_loss_there_is_nothing_to_accept_and_the_format_stays(golden: Site) -> None:
    before = refs(golden)
    golden.run("reindex", "--accept", "--yes")
    assert refs(golden) == before


@pytest.fixture
def cloned(golden: Site, tmp_path: Path) -> Site:
    """A mirror clone of the archive of format 1 with its content and its keys, on another machine."""
    site = Site(tmp_path / "elsewhere")
    site.archive.mkdir()
    golden.git(
        "-c", "init.defaultRefFormat=files", "clone", "-q", "--mirror", os.fspath(golden.repository),
        os.fspath(site.repository),
    )  # fmt: skip
    shutil.copytree(golden.repository / "lfs/objects", site.repository / "lfs/objects")
    shutil.copytree(golden.archive / "keys", site.archive / "keys")
    # An empty folder would not be taken for the watched one.
    shutil.copytree(golden.watch, site.watch, dirs_exist_ok=True)
    return site


def adopt(site: Site) -> None:
    site.run("init", "--adopt", "--archive", site.archive, "--watch", site.watch)


def test_an_adopted_clone_is_upgraded(cloned: Site) -> None:
    adopt(cloned)
    commits = check_upgraded(cloned)
    assert commits[-1].body["action"] == "adopt"
    cloned.write("推荐/变更/新 说明.txt", "new")
    cloned.catch_up()
    check_upgraded(cloned)


@pytest.mark.parametrize("lose", [_other_key, _cut_key])
def test_a_clone_that_is_adopted_with_another_key_is_signed_as_soon_as_the_key_is_back(
    cloned: Site, lose: Callable[[Site], None]
) -> None:
    """Then the first head covers the upgrade as well."""
    kept = (cloned.archive / "keys/signing_key").read_bytes()
    lose(cloned)
    adopt(cloned)
    assert [finding["code"] for finding in cloned.findings()] == ["A038"]
    assert "cannot be signed" in cloned.run("status", "--check", code=9).stderr
    cloned.write("推荐/变更/新 说明.txt", "new")
    cloned.catch_up()
    (cloned.archive / "keys/signing_key").write_bytes(kept)
    cloned.write("推荐/变更/新 说明.txt", "newer")
    cloned.catch_up()
    commits = check_upgraded(cloned)
    [head] = [commit.head for commit in commits if commit.head]
    assert head["first"] == next(number for number, commit in enumerate(commits, 1) if commit.is_format_2)


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_an_adoption_that_is_killed_is_finished_by_the_next(cloned: Site, step: Step) -> None:
    killed_at(cloned, step, "init", "--adopt", "--archive", str(cloned.archive), "--watch", str(cloned.watch))
    adopt(cloned)
    commits = check_upgraded(cloned)
    assert [commit.body["action"] for commit in commits].count("adopt") == 1


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount the folder onto itself, so that nobody can write to it, root included."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.needs("root")
def test_keys_that_cannot_be_written_stop_it_before_it_begins(golden: Site) -> None:
    before = refs(golden)
    with read_only(golden.archive / "keys"):
        assert "cannot be written. Nothing was changed" in golden.run("upgrade", code=8).stderr
    assert refs(golden) == before
    golden.run("upgrade")
    check_upgraded(golden)


@pytest.mark.needs("root")
def test_an_old_list_of_keys_that_cannot_be_written_stops_no_writing(golden: Site) -> None:
    """The list in the folder is a copy; the journal's counts."""
    signers = golden.archive / "keys/allowed_signers"
    old_list = signers.read_bytes()
    golden.run("upgrade")
    signers.write_bytes(old_list)
    # As after a crash: the next writer looks at the keys again.
    (golden.archive / "lock").write_bytes(b"")
    with read_only(golden.archive / "keys"):
        golden.run("hold", "place", "inspection", "推荐", "--reason", "r")
    golden.run("hold", "place", "inspection 2", "推荐", "--reason", "r")
    (golden.archive / "lock").write_bytes(b"")
    golden.run("hold", "place", "inspection 3", "推荐", "--reason", "r")
    check_upgraded(golden)
