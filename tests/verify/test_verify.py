"""Every number of ``verify`` has a planted damage; every byte that matters is flipped."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archiver.errors import StorageError
from archiver.store.archive import Archive
from archiver.verify.findings import MEANING_BY_CODE, VerifyReport
from archiver.verify.git_objects import check_git_files, find_loose_object_problem
from archiver.verify.whole_archive import verify_archive, verify_files_without_git
from tests.support import forged
from tests.support.journal_model import read_journal, replayed
from tests.support.loose_objects import unpack_all
from tests.support.site import UNGUARDED, Site
from tests.test_golden import unpacked
from tests.verify.test_disposals import NUMBERS

pytestmark = pytest.mark.needs("processes")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three submissions, a seal with receipt, packed and loose objects and refs."""
    site = Site(tmp_path_factory.mktemp("evidence") / "site").init()
    for number in range(120):
        site.write(f"算法/首次/d{number % 7}/文件{number}", f"content {number}")
    site.write("算法/首次/empty", b"")
    (site.watch / "算法/首次/空").mkdir()
    site.catch_up()
    site.git("pack-refs", "--all")
    site.write("算法/首次/d1/文件1", "changed")
    (site.watch / "算法/首次/d2/文件2").unlink()
    site.write("g/s/.git/config", "nested")
    site.catch_up()
    site.run("submit", "算法/首次", "--on", "2026-03-20", "--receipt", site.config)
    site.write("g/s/neu", "x")
    site.catch_up()
    site.verified()
    return site


@pytest.fixture
def copy(original: Site, tmp_path: Path) -> Site:
    """A copy whose archive may be damaged."""
    shutil.copytree(original.root, tmp_path / "site", symlinks=True)
    site = Site(tmp_path / "site")
    text = original.config.read_text().replace(os.fspath(original.root), os.fspath(site.root))
    site.config.write_text(text)
    return site


def codes(site: Site) -> set[str]:
    try:
        archive = Archive(site.archive)
    except StorageError:
        # git is not run with settings that nobody knows.
        return {finding.code for finding in verify_files_without_git(site.archive).findings}
    try:
        return {finding.code for finding in verify_archive(archive.root, archive.repository).findings}
    finally:
        archive.close()


def test_files_that_git_takes_away_meanwhile_are_no_finding(copy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary one gets its name, a loose one goes into a pack, a pack into a larger one, after they were listed."""
    gone = ["tmp_obj_HVa6PC", "0" * 38, "pack-0.pack", "multi-pack-index"]
    walk = os.walk

    def list_too_early(top: str | Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, files in walk(top):
            yield os.fspath(folder), folders, [*files, *gone]

    monkeypatch.setattr(os, "walk", list_too_early)
    report = VerifyReport()
    check_git_files(copy.repository, report)
    assert report.findings == []


def overwrite(path: Path, data: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)


def content_objects(site: Site) -> list[Path]:
    return sorted(p for p in (site.repository / "lfs").rglob("*") if p.is_file())


def rewritten_tip(
    site: Site, change: Callable[[dict[str, Any]], object], files: dict[str, bytes] | None = None
) -> None:
    """Replace the journal's last event by an altered one, as an attacker with git and the key would."""
    forged.replace_newest(site, change, files, key=site.archive / "keys")


def _resign(site: Site) -> None:
    tag = site.git("cat-file", "tag", "算法/首次/submitted").stdout.replace(
        "首次/v1 submitted", "首次/v9 submitted"
    )
    (site.root / "tag").write_text(tag)
    oid = site.git("hash-object", "-w", "-t", "tag", os.fspath(site.root / "tag")).stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/tags/算法/首次/submitted", oid)
    _replay_submit(site, lambda event: event["refs"].update({"refs/tags/算法/首次/submitted": f"sha1:{oid}"}))


def _replay_submit(site: Site, change: Callable[[dict[str, Any]], object]) -> None:
    """Cut the journal back to the submission, alter it, and make the refs agree."""
    commit = site.git("log", "--format=%H", "--grep=submit", "-1", "journal").stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", commit)
    site.git(*UNGUARDED, "update-ref", "-d", "refs/tags/g/s/v2")
    first = site.git("rev-parse", "g/s/v1^{commit}").stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/heads/filings/g/s", first)
    rewritten_tip(site, change)


def _forge_checkpoint(site: Site, old: str, new: str) -> None:
    """Alter the text of the newest checkpoint's tag, in format 1, and make the event name the new one."""
    name = max(site.git("tag", "-l", "_checkpoints/[0-9]*").stdout.split(), key=lambda tag: int(tag.split("/")[1]))
    tag = site.git("cat-file", "tag", name).stdout
    assert old in tag
    (site.root / "tag").write_text(tag.replace(old, new))
    oid = site.git("hash-object", "-w", "-t", "tag", os.fspath(site.root / "tag")).stdout.strip()
    commit = site.git("log", "--format=%H", "--grep= checkpoint ", "-1", "journal").stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", commit)
    site.git(*UNGUARDED, "update-ref", f"refs/tags/{name}", oid)
    forged.replace_newest(site, lambda event: event["refs"].update({f"refs/tags/{name}": oid}))


def _loose(site: Site) -> Path:
    unpack_all(site)
    return sorted(site.repository.glob("objects/[0-9a-f][0-9a-f]/*"))[0]


def _damage(path: Path) -> None:
    overwrite(path, b"y" + path.read_bytes()[1:])


def _pack(site: Site) -> Path:
    return next(site.repository.glob("objects/pack/*.pack"))


DAMAGES: dict[str, Callable[[Site], object]] = {
    "A001": lambda s: s.git("config", "gc.auto", "1"),
    "A002": lambda s: (s.repository / "hooks/reference-transaction").chmod(0o644),
    "A003": lambda s: (s.repository / "HEAD").write_text("ref: refs/heads/filings/g/s\n"),
    "A004": lambda s: _alternates(s),
    "A005": lambda s: (
        (s.repository / "objects/ab/note.txt").parent.mkdir(exist_ok=True)
        or (s.repository / "objects/ab/note.txt").write_text("x")
    ),
    "A010": lambda s: _loose(s).unlink(),
    "A011": lambda s: overwrite(_pack(s), _pack(s).read_bytes()[:-1]),
    "A012": lambda s: _damage(_loose(s)),
    "A020": lambda s: s.git(*UNGUARDED, "tag", "-d", "g/s/v1"),
    "A021": lambda s: s.git(*UNGUARDED, "tag", "-f", "g/s/v1", "g/s/v2^{commit}"),
    "A022": lambda s: s.git("tag", "stray", "g/s/v1"),
    "A023": lambda s: (s.repository / "refs/tags/g/s/v2").write_text("not an object id\n"),
    "A030": lambda s: forged.replace_newest(s, files={"event.json": b"{}"}),
    "A031": lambda s: rewritten_tip(s, lambda event: event.update(prev=f"sha256:{'1' * 64}")),
    "A032": lambda s: forged.replace_newest(s, files={"note": b"x"}),
    "A033": lambda s: rewritten_tip(s, lambda event: event["clock"].update(time="2001-01-01T00:00:00.000000Z")),
    "A034": lambda s: rewritten_tip(s, lambda event: event["clock"].update(time="2999-01-01T00:00:00.000000Z")),
    "A049": lambda s: rewritten_tip(s, lambda event: event.update(at="2001-01-01T00:00:00.000000Z")),
    "A035": lambda s: rewritten_tip(s, lambda event: event.update(action="keep-everything")),
    "A036": lambda s: rewritten_tip(s, lambda event: event.update(n=event["n"] + 1)),
    "A037": lambda s: forged.replace_newest(s, files={"body.json": b"{}"}),
    "A038": lambda s: forged.append(s),
    "A039": lambda s: rewritten_head(s, lambda head: head.update(chains=9)),
    "A040": lambda s: rewritten_tip(s, lambda event: None, {"changes.jsonl": b""}),
    "A041": lambda s: _other_commit(s),
    "A042": _resign,
    "A043": lambda s: _replay_submit(s, lambda event: event["details"].update(manifest_sha256="0" * 64)),
    "A050": lambda s: content_objects(s)[0].unlink(),
    "A051": lambda s: overwrite(content_objects(s)[0], content_objects(s)[0].read_bytes() + b"x"),
    "A052": lambda s: content_objects(s)[0].chmod(0o644),
    "A053": lambda s: (s.repository / "lfs/bad").write_text("x"),
    "A061": lambda s: (s.repository / "refs/heads").chmod(0o777),
    "A060": lambda s: (s.archive / "keys/allowed_signers").write_text("archiver@localhost ssh-ed25519 AAAA\n"),
}


#: What only archives of format 1 have: checkpoints with a tag.
DAMAGES_1: dict[str, Callable[[Site], object]] = {
    "A044": lambda s: _forge_checkpoint(s, "checkpoint", "checkpoimt"),
    "A045": lambda s: _forge_checkpoint(s, "refs-sha256 ", "refs-sha256 0"),
}


def rewritten_head(site: Site, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter the newest head, and sign it again, as somebody with the key could."""
    commits = read_journal(site.repository)
    model = replayed(commits[:-1])
    model.take(commits[-1])
    forged.replace_newest(site, files=forged.signed_head(model, forged.SignedBy(site.archive / "keys", change)))


def _other_commit(site: Site) -> None:
    """The event names another commit than the tag does."""
    commit = site.git("rev-parse", "g/s/v1^{commit}").stdout.strip()
    rewritten_tip(site, lambda event: event["refs"].update({"refs/heads/filings/g/s": f"sha1:{commit}"}))


def _alternates(site: Site) -> None:
    (site.repository / "objects/info").mkdir(exist_ok=True)
    (site.repository / "info").mkdir(exist_ok=True)
    (site.repository / "info/grafts").write_text("")


def _rebuilt(site: Site, order: Callable[[list[str]], list[str]]) -> None:
    """The journal with its events in another order, by somebody who knows git."""
    commits = site.git("rev-list", "--reverse", "journal").stdout.split()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    parent: list[str] = []
    for commit in order(commits):
        made = site.git(*identity, "commit-tree", *parent, "-m", "x", f"{commit}^{{tree}}").stdout.strip()
        parent = ["-p", made]
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", parent[1])


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (lambda c: [*c[:3], *c[4:]], "A031"),
        (lambda c: [*c[:3], c[1], *c[3:]], "A031"),
        (lambda c: [*c[:3], c[4], c[3], *c[5:]], "A031"),
        (lambda c: c[:-2], "A022"),
        (lambda c: c[1:], "A031"),
    ],
    ids=["removed", "inserted", "reordered", "truncated", "beheaded"],
)
def test_events_removed_inserted_reordered_and_cut_are_found(
    copy: Site, order: Callable[[list[str]], list[str]], code: str
) -> None:
    # The event before it made a ref; the checkpoint itself made none, and is missed with a witness line only.
    copy.run("checkpoint")
    _rebuilt(copy, order)
    assert code in codes(copy)


def test_a_packed_ref_that_a_loose_one_overrides_is_looked_at_too(copy: Site) -> None:
    packed = copy.repository / "packed-refs"
    text = packed.read_text()
    oid = next(line for line in text.splitlines() if line.endswith(" refs/heads/journal"))[:40]
    overwrite(packed, text.replace(oid, oid[:-1] + ("0" if oid[-1] != "0" else "1")).encode())
    assert codes(copy) == {"A023"}


def test_every_number_has_a_damage() -> None:
    # Witness lines, tokens, keys, disposals and restrictions are tested in modules of their own.
    elsewhere = {"A046", "A047", "A048", "A059"} | NUMBERS
    # The bucket's are in tests/replica.
    elsewhere |= {f"A07{number}" for number in range(7)}
    assert {*DAMAGES, *DAMAGES_1, *elsewhere} == set(MEANING_BY_CODE)


@pytest.mark.parametrize("code", sorted(DAMAGES))
def test_each_damage_is_found_by_its_number(copy: Site, code: str) -> None:
    DAMAGES[code](copy)
    assert code in codes(copy)


@pytest.mark.parametrize("code", sorted(DAMAGES_1))
def test_each_damage_of_format_1_is_found_by_its_number(tmp_path: Path, code: str) -> None:
    site = unpacked(tmp_path / "golden")
    assert codes(site) == set()
    DAMAGES_1[code](site)
    assert code in codes(site)


def test_verify_exits_5_and_names_the_place(copy: Site) -> None:
    victim = content_objects(copy)[0]
    victim.unlink()
    assert [(f["code"], f["object"]) for f in copy.findings()] == [("A050", victim.name)]
    out = copy.run("verify", code=5)
    assert victim.name in out.stdout
    assert "reported 1 finding." in out.stderr


def test_a_second_name_for_an_object_is_found(copy: Site) -> None:
    os.link(content_objects(copy)[0], copy.root / "second-name")
    assert codes(copy) == {"A052"}


def test_a_repository_with_alternates_is_not_opened(copy: Site) -> None:
    (copy.repository / "objects/info").mkdir(exist_ok=True)
    (copy.repository / "objects/info/alternates").write_text("/elsewhere\n")
    assert "alternates" in copy.run("log", code=8).stderr


def flippable(site: Site) -> list[Path]:
    """Everything whose bytes are part of the promise."""
    repository = site.repository
    files = [
        p for top in ("objects", "refs", "lfs", "hooks") for p in (repository / top).rglob("*") if p.is_file()
    ]
    return sorted([*files, repository / "config", repository / "HEAD", repository / "packed-refs"])


def test_one_flipped_byte_anywhere_is_found(copy: Site) -> None:
    """Every file at a random place, and every byte of config, hooks, HEAD and packed refs."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    files = flippable(copy)
    small = [p for p in files if p.parent.name == "hooks" or p.name in ("config", "HEAD")]
    sample = [
        *chance.sample([p for p in files if p not in small], 60),
        _pack(copy),
        _pack(copy).with_suffix(".idx"),
    ]
    for path in [*small, *sample, copy.repository / "packed-refs"]:
        before = path.read_bytes()
        position = chance.randrange(len(before))
        damaged = bytearray(before)
        damaged[position] ^= 1 << chance.randrange(8)
        overwrite(path, bytes(damaged))
        assert codes(copy), f"seed {seed}: {path} at {position} of {len(before)}"
        overwrite(path, before)
    assert codes(copy) == set()


def test_every_bit_of_a_loose_object_counts() -> None:
    for text in (b"tree 0\0", b"blob 5\0hello", b"blob 300\0" + bytes(range(100)) * 3):
        data = zlib.compress(text, 1)
        oid = hashlib.sha1(text).hexdigest()
        assert find_loose_object_problem(data, oid) is None
        for position in range(len(data)):
            for bit in range(8):
                damaged = bytearray(data)
                damaged[position] ^= 1 << bit
                assert find_loose_object_problem(bytes(damaged), oid), (text[:10], position, bit)


def test_sampled_verify_checks_less(original: Site) -> None:
    everything = original.json("verify")["checked"]["objects"]
    assert original.json("verify", "--sample", 0)["checked"]["objects"] == 0
    assert everything > 0
    assert everything == len(content_objects(original))


def test_verify_needs_no_write_access_and_changes_nothing(copy: Site) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {os.fspath(p): (p.lstat().st_mtime_ns, p.lstat().st_size) for p in copy.repository.rglob("*")}

    before = state()
    copy.verified()
    assert state() == before


def test_a_pipe_among_the_objects_is_named_and_not_read(copy: Site) -> None:
    """Reading it would wait for a writer, for ever."""
    folder = copy.repository / "objects/ab"
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / ("1" * 38))
    found = {(finding["code"], finding["object"]) for finding in copy.findings()}
    assert found == {("A005", f"archive.git/objects/ab/{'1' * 38}"), ("A010", "archive.git")}
