"""What an earlier release wrote is read, checked and continued by this one.

tests/golden/make_golden.py says how the archives, the packages and what those releases said of them were made.
They are never made again: a difference here is a promise that was broken.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import CHECKOUT, UNGUARDED, Site, tree

pytestmark = pytest.mark.needs("processes")

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Release:
    """What one release left: an archive, a package, and what it said of them."""

    folder: Path
    facts: dict[str, Any]


def _read_release(folder: Path) -> Release:
    return Release(folder, json.loads((folder / "facts.json").read_text("utf-8")))


FORMAT_1, FORMAT_2 = _read_release(GOLDEN), _read_release(GOLDEN / "format-2")
#: What the release of format 1 said.
FACTS = FORMAT_1.facts
#: Where it was made: the path that ``init`` journalled, which no machine has any more.
MADE_AT = "/srv/archiver-golden"
VERIFIER = CHECKOUT / "archiver/audit/resources/verify.py"
DISPOSED = ("退役/首次/v1", "退役/首次/v2")
#: Sentences, which a later release may word better; whether there is one is compared.
SENTENCES = {"open"}


def unpacked(folder: Path, release: Release = FORMAT_1) -> Site:
    """The site of that time in another place, owned by whoever runs this, with its databases and settings."""
    folder.mkdir()
    unpack = ["tar", "-C", folder, "-xpzf", release.folder / "archive.tar.gz", "--no-same-owner"]
    subprocess.run(unpack, check=True)
    settings = folder / "archiver.toml"
    settings.write_text(settings.read_text("utf-8").replace(MADE_AT, os.fspath(folder)), "utf-8")
    site = Site(folder)
    site.watch.rmdir()
    site.watch = folder / "materials"
    return site


@pytest.fixture(scope="module", params=[FORMAT_1, FORMAT_2], ids=["format-1", "format-2"])
def release(request: pytest.FixtureRequest) -> Release:
    kept: Release = request.param
    return kept


@pytest.fixture
def golden(tmp_path: Path, release: Release) -> Site:
    return unpacked(tmp_path / "golden", release)


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory, release: Release) -> Site:
    """For the tests that only ask: they may share one."""
    return unpacked(tmp_path_factory.mktemp("asked") / "golden", release)


@pytest.fixture
def before_upgrade(tmp_path: Path) -> Site:
    """The archive of format 1."""
    return unpacked(tmp_path / "golden")


@pytest.fixture(scope="module")
def read_before_upgrade(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The same, for the tests that change nothing."""
    return unpacked(tmp_path_factory.mktemp("asked") / "golden")


def same(now: Any, said: Any) -> Any:
    """``now`` with what ``said`` does not have left out: new keys are allowed, lost and changed values are not."""
    if isinstance(said, dict) and isinstance(now, dict):
        return {key: said[key] if key in SENTENCES else same(now.get(key), said[key]) for key in said}
    if isinstance(said, list) and isinstance(now, list) and len(said) == len(now):
        return [same(*pair) for pair in zip(now, said, strict=True)]
    return now


def check_said(now: Any, said: Any) -> None:
    assert same(now, said) == said


def check_verified(site: Site, release: Release) -> dict[str, Any]:
    witnesses = [word for line in release.facts["witness lines"] for word in ("--since", line)]
    report: dict[str, Any] = site.json("verify", *witnesses)
    assert report["ok"]
    return report


def check_package(package: Path, release: Release) -> None:
    line = release.facts["witness lines"][-1]
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en", "--witness", line]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- as it is


def test_the_archive_is_verified_from_its_witness_lines_on(golden: Site, release: Release) -> None:
    report = check_verified(golden, release)
    assert report["checked"] == release.facts["verify"]["checked"]
    assert report["findings"] == release.facts["verify"]["findings"] == []
    # A later release may note more, such as settings of the repository that an earlier one wrote.
    assert len(report["notes"]) >= release.facts["verify"]["notes"]
    assert release.facts["certificate"]["certificate"] in [note["object"] for note in report["notes"]]


LISTINGS: list[tuple[str, tuple[str, ...]]] = [
    ("log", ("log",)),
    ("notice list", ("notice", "list")),
    ("change list", ("change", "list", "--all")),
    ("hold list", ("hold", "list", "--all")),
    ("dispose list", ("dispose", "list")),
]


@pytest.mark.parametrize(("name", "command"), LISTINGS, ids=[name for name, _ in LISTINGS])
def test_every_listing_says_what_it_said(
    read_only: Site, name: str, command: tuple[str, ...], release: Release
) -> None:
    check_said(read_only.json(*command), release.facts[name])


def test_every_version_and_sheet_says_what_it_said(read_only: Site, release: Release) -> None:
    for tag, said in release.facts["show"].items():
        check_said(read_only.json("show", tag), said)
    for filing, said in release.facts["filing show"].items():
        check_said(read_only.json("filing", "show", filing), said)
    assert read_only.run("key", "list").stdout.splitlines() == release.facts["key list"]
    listed = {version["tag"]: bool(version["open"]) for version in read_only.json("log")}
    assert listed == {version["tag"]: bool(version["open"]) for version in release.facts["log"]}


def test_every_event_is_there(read_only: Site, release: Release) -> None:
    events = read_only.git("log", "--reverse", "--format=%s", "journal").stdout.splitlines()
    # What a release journals when it first opens an earlier one's archive comes after them.
    assert events[: len(release.facts["events"])] == release.facts["events"]


def test_every_material_comes_back(golden: Site, release: Release) -> None:
    for tag, said in release.facts["show"].items():
        target = golden.root / "back" / hashlib.sha256(tag.encode()).hexdigest()
        if tag in DISPOSED:
            assert (
                f"certificate {release.facts['certificate']['certificate']}"
                in golden.run("restore", tag, "--to", target, code=7).stderr
            )
            continue
        # The owner gets the restricted files, too; format 1 has none.
        golden.run("restore", tag, "--to", target, "--restricted")
        found = [hashlib.sha256(data).hexdigest() for data, _ in tree(target).values() if data is not None]
        assert sorted(found) == sorted(item["sha256"] for item in said["materials"])
    names = [name for name in os.listdir(os.fsencode(golden.watch)) if (golden.watch / os.fsdecode(name)).is_dir()]
    assert len(names) == 3
    for number, name in enumerate(names):
        golden.run("restore", name, "--at", "2025-06-30", "--restricted", "--to", golden.root / f"whole{number}")
        there = tree(golden.watch / os.fsdecode(name))
        kept = {path: entry for path, entry in there.items() if b"~$" not in path}
        assert tree(golden.root / f"whole{number}") == kept


@pytest.mark.needs("ssh-keygen")
def test_the_certificate_is_issued_as_it_was(golden: Site, release: Release) -> None:
    plan, folder = release.facts["certificate"]["certificate"], golden.root / "certificate"
    golden.run("dispose", "certificate", plan, "--to", folder)
    assert json.loads((folder / "certificate.json").read_text("utf-8")) == release.facts["certificate"]
    signers = golden.archive / "keys/allowed_signers"
    check = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "archiver@localhost", "-n", "git"]
    with open(folder / "certificate.json", "rb") as signed:
        subprocess.run([*check, "-s", folder / "certificate.json.sig"], stdin=signed, check=True)


def test_a_seal_that_was_replaced_is_found(golden: Site) -> None:
    """An archive that is whole would pass a verifier, too, that looks at nothing."""
    ref = "refs/tags/推荐/首次/submitted"
    forged = golden.git("cat-file", "tag", ref).stdout.replace("2022-03-02", "2022-03-01")
    (golden.root / "forged").write_text(forged, "utf-8")
    tag = golden.git("hash-object", "-w", "-t", "tag", "--literally", golden.root / "forged").stdout.strip()
    golden.git(*UNGUARDED, "update-ref", ref, tag)
    assert "A021" in {finding["code"] for finding in golden.json("verify", code=5)["findings"]}


def test_a_lost_content_is_found(golden: Site, release: Release) -> None:
    sha256 = release.facts["show"]["推荐/首次/v1"]["materials"][0]["sha256"]
    (golden.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256).unlink()
    assert "A050" in {finding["code"] for finding in golden.json("verify", code=5)["findings"]}


# --- before and after the upgrade


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--once"),
        ("submit", "推荐/变更", "--on", "2025-06-20"),
        ("hold", "lift", "诉讼 2023", "--reason", "it is over"),
        ("filing", "set", "推荐", "--responsible", "李娜", "--on", "2025-06-22"),
        ("checkpoint",),
        ("key", "rotate", "--reason", "x"),
        ("drill",),
    ],
    ids=lambda words: words[0],
)
def test_before_its_upgrade_nothing_is_written(read_before_upgrade: Site, command: tuple[str, ...]) -> None:
    before = read_before_upgrade.git("for-each-ref").stdout
    assert "archiver upgrade" in read_before_upgrade.run(*command, code=3).stderr
    assert read_before_upgrade.git("for-each-ref").stdout == before
    assert "archiver upgrade" in read_before_upgrade.run("status", "--check", code=9).stderr


def test_before_its_upgrade_it_is_restored_and_exported(before_upgrade: Site) -> None:
    before = before_upgrade.git("for-each-ref").stdout
    before_upgrade.run("restore", "推荐/首次/v3", "--to", before_upgrade.root / "back")
    before_upgrade.run("audit", "--to", before_upgrade.root / "package")
    check_package(before_upgrade.root / "package", FORMAT_1)
    assert before_upgrade.git("for-each-ref").stdout == before


def test_the_upgrade_is_one_batch_and_asks_nothing(before_upgrade: Site) -> None:
    before_upgrade.run("upgrade")
    events = before_upgrade.git("log", "--reverse", "--format=%s", "journal").stdout.splitlines()
    added = [event.split(" ", 2)[1] for event in events[len(FACTS["events"]) :]]
    assert added[0] == "format"
    assert set(added[1:]) == {"earlier-events"}
    check_verified(before_upgrade, FORMAT_1)
    assert "already" in before_upgrade.run("upgrade").stdout
    again = before_upgrade.git("log", "--reverse", "--format=%s", "journal").stdout.splitlines()
    # Settings of the repository that the upgrade restored are journalled by whoever writes next.
    assert [event for event in again if " repository-settings " not in event] == events


# --- continued


def test_it_goes_on_with_the_same_materials_in_a_new_place(golden: Site, release: Release) -> None:
    """The server was replaced: its old folder is gone, and the new one holds the same files and one more."""
    before = {version["tag"] for version in golden.json("log")}
    golden.run("upgrade")
    golden.write("推荐/变更/新 说明.txt", "written with the new release\n")
    golden.catch_up()
    log = golden.json("log")
    [new] = [version for version in log if version["tag"] not in before]
    number = 1 + sum(tag.startswith("推荐/变更/") for tag in before)
    assert (new["tag"], new["added"], new["modified"], new["deleted"]) == (f"推荐/变更/v{number}", 1, 0, 0)
    # Nothing that was there before has changed, other than that something may follow it.
    old = {version["tag"]: version for version in release.facts["log"]}
    for version in log:
        if version["tag"] in old:
            was = old[version["tag"]]
            assert version["commit"] == was["commit"]
            assert version["keep_until"] >= was["keep_until"]
    golden.run("submit", "推荐/变更", "--on", "2025-06-20", "--by", "王敏")
    golden.run("hold", "lift", "诉讼 2023", "--reason", "it is over")
    golden.run("notice", "answer", "2", "--submission", "Search%20engine/first%20filing", "--on", "2022-09-29")
    waiting = release.facts["dispose list"][0]["plan"]
    golden.run("dispose", "run", waiting, code=4)
    assert "推荐/首次/link" in [each["path"] for each in golden.json("status")["skipped"]]
    check_verified(golden, release)
    golden.run("audit", "--to", golden.root / "package")
    check_package(golden.root / "package", release)


def test_a_key_rotation_and_a_checkpoint_follow(golden: Site, release: Release) -> None:
    golden.run("upgrade")
    golden.run("key", "rotate", "--reason", "after the upgrade")
    golden.run("checkpoint", "--print")
    # The upgrade lists the key for both namespaces.
    keys = golden.run("key", "list").stdout.splitlines()
    both, one = 'namespaces="git,archiver-head"', 'namespaces="git"'
    assert [key.replace(both, one) for key in keys[:-1]] == [
        key.replace(both, one) for key in release.facts["key list"]
    ]
    assert check_verified(golden, release)["checked"]["versions"] == release.facts["verify"]["checked"]["versions"]


@pytest.mark.parametrize("lost", [("index.db",), ("state.db",), ("index.db", "state.db")], ids="+".join)
def test_it_goes_on_without_its_databases(golden: Site, lost: tuple[str, ...], release: Release) -> None:
    for name in lost:
        (golden.archive / name).unlink()
    golden.run("reindex")
    golden.run("upgrade")
    golden.catch_up()
    check_said(golden.json("log"), release.facts["log"])
    check_verified(golden, release)


# --- the package


@pytest.fixture
def package(tmp_path: Path, release: Release) -> Path:
    with zipfile.ZipFile(release.folder / "package.zip") as packed:
        packed.extractall(tmp_path)
    return tmp_path / "package"


def test_the_package_passes_its_own_verifier(package: Path, release: Release) -> None:
    check_package(package, release)


def verdict_of_today(package: Path, release: Release, lang: str = "en") -> int:
    # In the package's own place it would be a file that was altered.
    shutil.copy(VERIFIER, package.parent / "today.py")
    spec = importlib.util.spec_from_file_location("verifier_of_today", package.parent / "today.py")
    assert spec
    assert spec.loader
    verifier = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(verifier)
    verifier.HERE = os.fspath(package)
    verdict: int = verifier.main(["--lang", lang, "--witness", release.facts["witness lines"][0]])
    return verdict


def test_the_package_passes_the_verifier_of_today(package: Path, release: Release) -> None:
    for lang in ("en", "zh"):
        assert verdict_of_today(package, release, lang) == 0


@pytest.mark.parametrize(
    "pattern",
    ["data/journal.jsonl", "data/journal/10/*", "data/materials/**/*", "data/tags/**/*", "data/versions/**/*"],
)
def test_a_package_that_was_altered_with_its_manifests_does_not_pass(
    package: Path, pattern: str, release: Release
) -> None:
    altered = next(path for path in sorted(package.glob(pattern)) if path.is_file())
    data = altered.read_bytes()
    changed = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:] if len(data) > 9 else data + b"x"
    altered.write_bytes(changed)
    was, now = (hashlib.sha256(each).hexdigest() for each in (data, changed))
    manifest, over = package / "manifest-sha256.txt", package / "tagmanifest-sha256.txt"
    before = manifest.read_bytes()
    manifest.write_bytes(before.replace(was.encode(), now.encode()))
    digests = (hashlib.sha256(each).hexdigest().encode() for each in (before, manifest.read_bytes()))
    over.write_bytes(over.read_bytes().replace(*digests))
    assert verdict_of_today(package, release) != 0
