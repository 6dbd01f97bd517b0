"""Files captured by mistake: restricted, seen everywhere, and readable only by the owner and on request."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archiver.retention.file_restriction import enforce_restrictions
from archiver.store.content.objects import ContentStore
from archiver.store.index.restrictions import list_restrictions
from tests.support.site import Site

PAYROLL = "payroll of everybody"
REASON = "误存的工资表"


@pytest.fixture
def filled(site: Site) -> Site:
    """An archive whose first version has a payroll; the second filing has the same file, as a copy."""
    site.write("f/s/payroll.txt", PAYROLL)
    site.write("f/s/report.txt", "the report")
    site.write("g/s/other.txt", "other")
    site.catch_up()
    return site


def mode_of(site: Site, sha256: str) -> int:
    with_objects = site.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    return os.stat(with_objects).st_mode & 0o777


def digest_of(site: Site, tag: str, path: str) -> str:
    [material] = [each for each in site.json("show", tag)["materials"] if each["path"] == path]
    sha256: str = material["sha256"]
    return sha256


def restrict(site: Site, *files: str, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = site.json("restrict", *files, "--reason", REASON, **options)
    return result


def test_a_restricted_file_is_named_everywhere_and_readable_by_the_owner_alone(filled: Site) -> None:
    site = filled
    sha256 = digest_of(site, "f/s/v1", "payroll.txt")
    retained = site.json("explain", "f/s/v1")["keep_until"]
    [restricted] = restrict(site, "f/s/v1:payroll.txt")["files"]
    assert restricted == {
        "filing": "f",
        "filing_name": "f",
        "path": "payroll.txt",
        "sha256": sha256,
        "versions": ["f/s/v1"],
        "version_names": ["f/s/v1"],
        "elsewhere": [],
        "other_contents": [],
        "replica": None,
        "exports": [],
        "is_open": False,
    }
    assert mode_of(site, sha256) == 0o400
    assert mode_of(site, digest_of(site, "f/s/v1", "report.txt")) == 0o444
    [event] = site.events("restrict")
    [chain] = [each["chain"] for each in site.events("capture") if each["object"] == "f/s/v1"]
    assert (event["object"], event["class"], event["chain"]) == (
        "f/s/v1",
        "act",
        chain,
    )
    assert event["details"] == {"path": "payroll.txt", "digest": f"sha256:{sha256}", "reason": REASON, "by": None}
    # It stays in the lists, with the reason, and its retention is the same.
    [shown] = [each for each in site.json("show", "f/s/v1")["materials"] if each["path"] == "payroll.txt"]
    assert shown["restricted"] == REASON
    assert f"Restricted: payroll.txt ({REASON})" in site.run("show", "f/s/v1").stdout
    explained = site.json("explain", "f/s/v1:payroll.txt")
    assert (explained["keep_until"], explained["restricted"][0]["reason"]) == (retained, REASON)
    assert "restricted" not in site.json("explain", "f/s/v1:report.txt")
    assert [version.get("restricted") is not None for version in site.json("log", "f")] == [True]
    assert REASON in site.run("log", "f").stdout
    assert REASON not in site.run("log", "g").stdout
    [in_status] = site.json("status")["restricted"]
    assert (in_status["path"], in_status["filing"]) == ("payroll.txt", "f")
    assert REASON in site.run("status").stdout
    assert REASON in site.run("explain", "f/s/v1").stdout
    report = site.verified()
    assert [note["object"] for note in report["notes"]] == ["f:payroll.txt"]
    site.check_journal()


def test_it_is_restored_only_on_request(filled: Site) -> None:
    site = filled
    restrict(site, "f/s/v1:payroll.txt")
    refused = site.run("restore", "f/s/v1", "--to", site.root / "all", code=4)
    assert (site.root / "all/report.txt").read_text() == "the report"
    assert not (site.root / "all/payroll.txt").exists()
    assert f"Restricted: payroll.txt ({REASON})" in refused.stderr
    assert "--restricted" in refused.stderr
    site.run("restore", "f/s/v1", "--path", "payroll.txt", "--to", site.root / "one", code=4)
    assert not (site.root / "one").exists(), "a refused restore makes no folder"
    site.run("restore", "f/s/v1", "--to", site.root / "all", "--restricted")
    restored = site.root / "all/payroll.txt"
    assert (restored.read_text(), restored.stat().st_mode & 0o077) == (PAYROLL, 0)
    first, second = site.events("restore")
    assert "restricted" not in first["details"]
    assert second["details"]["restricted"] == ["payroll.txt"]
    site.run("restore", "g/s/v1", "--to", site.root / "g")


def test_later_captures_of_it_at_its_place_are_bound(filled: Site) -> None:
    site = filled
    sha256 = digest_of(site, "f/s/v1", "payroll.txt")
    restrict(site, "f/s/v1:payroll.txt")
    (site.watch / "f/s/payroll.txt").unlink()
    site.catch_up()
    # Removing the object as after a disposal, so that it is published anew.
    content = site.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    content.unlink()
    site.write("f/s/payroll.txt", PAYROLL)
    site.catch_up()
    assert mode_of(site, sha256) == 0o400
    # Other content at the path is not the file that was restricted.
    site.write("f/s/payroll.txt", "a page of the report")
    site.catch_up()
    tags = [version["tag"] for version in site.json("log", "f") if version.get("restricted")]
    assert sorted(tags) == ["f/s/v1", "f/s/v3"]
    assert mode_of(site, digest_of(site, "f/s/v4", "payroll.txt")) == 0o444


def test_the_same_content_elsewhere_stays_and_is_named(filled: Site) -> None:
    site = filled
    site.write("g/s/copy.txt", PAYROLL)
    site.write("f/s/payroll.txt", "a newer payroll")
    site.catch_up()
    sha256 = digest_of(site, "f/s/v1", "payroll.txt")
    site.run("audit", "--to", site.root / "before", "--recipient", "网信办")
    [restricted] = restrict(site, "f/s/v1:payroll.txt")["files"]
    assert restricted["elsewhere"] == [
        {"path": "copy.txt", "first": "g/s/v2", "first_name": "g/s/v2", "last": "g/s/v2", "last_name": "g/s/v2"}
    ]
    assert restricted["other_contents"] == ["f/s/v2"]
    [export] = restricted["exports"]
    assert (Path(export["target"]).name, export["recipient"]) == ("before", "网信办")
    assert mode_of(site, sha256) == 0o444
    assert [each["elsewhere"] for each in site.json("status")["restricted"]] == [True]
    assert "also archived elsewhere" in site.run("status").stdout
    text = site.run("restrict", "g/s/v2:copy.txt", "--reason", REASON).stdout
    assert "Not restricted" not in text
    assert mode_of(site, sha256) == 0o400
    site.run("unrestrict", "g/s/v2:copy.txt", "--reason", "for the audit")
    assert mode_of(site, sha256) == 0o444, "one place that may be read is enough"
    site.write("f/s/payroll.txt", PAYROLL)
    site.catch_up()
    assert mode_of(site, sha256) == 0o444, "captured again at the restricted place, it is still at the other"
    site.write("f/s/payroll.txt", "a newer payroll")
    site.catch_up()
    text = site.run("restrict", "f/s/v2:payroll.txt", "--reason", REASON).stdout
    assert "archiver restrict" not in text
    site.run("restore", "g/s/v2", "--to", site.root / "g")
    site.verified()


def test_unrestricting_ends_it(filled: Site) -> None:
    site = filled
    sha256 = digest_of(site, "f/s/v1", "payroll.txt")
    restrict(site, "f/s/v1:payroll.txt", "f/s/v1:report.txt")
    [first, second] = site.events("restrict")
    assert second["prev"] != first["prev"]
    site.run("unrestrict", "f/s/v1:payroll.txt", "--reason", "it belongs to the filing")
    assert mode_of(site, sha256) == 0o444
    assert mode_of(site, digest_of(site, "f/s/v1", "report.txt")) == 0o400
    assert [each["path"] for each in site.json("status")["restricted"]] == ["report.txt"]
    site.run("restore", "f/s/v1", "--path", "payroll.txt", "--to", site.root / "back")
    site.run("unrestrict", "f/s/v1:payroll.txt", "--reason", "again", code=7)
    restrict(site, "f/s/v1:payroll.txt")
    assert mode_of(site, sha256) == 0o400
    site.configure(sensitive={"patterns": ["payroll*"]})
    site.run("unrestrict", "f/s/v1:payroll.txt", "--reason", "over")
    assert mode_of(site, sha256) == 0o400, "a pattern of the settings still covers it"
    archive = site.open()
    before = list_restrictions(archive.index, include_lifted=True)
    archive.close()
    site.run("reindex")
    archive = site.open()
    assert list_restrictions(archive.index, include_lifted=True) == before
    archive.close()
    site.verified()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("f/s/v1:unknown.txt",), 7),
        (("f/s/v9:payroll.txt",), 7),
        (("f/s/v1",), 2),
        (("f/s/v1:report.txt", "f/s/v1:unknown.txt"), 7),
        (("f/s/v1:empty.txt",), 2),
        (("f/s/v1:folder",), 7),
        ((), 2),
        (tuple(["f/s/v1:payroll.txt"] * 51), 2),
    ],
)
def test_what_cannot_be_restricted_is_refused_as_a_whole(
    site: Site, arguments: tuple[str, ...], code: int
) -> None:
    site.write("f/s/payroll.txt", PAYROLL)
    site.write("f/s/report.txt", "the report")
    site.write("f/s/empty.txt", "")
    (site.watch / "f/s/folder").mkdir()
    site.catch_up()
    site.run("restrict", *arguments, "--reason", REASON, code=code)
    site.run("restrict", "f/s/v1:payroll.txt", "--reason", " ", code=2)
    assert site.events("restrict") == []
    restrict(site, "f/s/v1:payroll.txt", "f/s/v1:payroll.txt")
    assert len(site.events("restrict")) == 1
    site.run("restrict", "f/s/v1:payroll.txt", "--reason", REASON, code=2)


def test_its_text_is_neither_compared_nor_cached(filled: Site) -> None:
    site = filled
    site.write("f/s/payroll.txt", "line of v2\n" + PAYROLL)
    site.write("f/s/report.txt", "the new report")
    site.catch_up()
    assert PAYROLL in site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout
    sha256 = digest_of(site, "f/s/v1", "payroll.txt")
    cached = list((site.archive / "documents").rglob(f"{sha256}*"))
    restrict(site, "f/s/v1:payroll.txt")
    assert cached
    assert list((site.archive / "documents").rglob(f"{sha256}*")) == []
    shown = site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout
    assert PAYROLL not in shown
    assert "the file is restricted" in shown
    assert "the new report" in shown


def seal_again(package: Path) -> None:
    """Write the manifests of a package anew, as its forger would."""
    for name in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        lines = (package / name).read_text("utf-8").splitlines()
        paths = [line.split("  ", 1)[1] for line in lines]
        (package / name).write_text(
            "".join(f"{hashlib.sha256((package / path).read_bytes()).hexdigest()}  {path}\n" for path in paths),
            "utf-8",
        )


def check_package(package: Path, *, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", package / "verify.py", "--lang", "en"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("processes")
def test_a_package_states_what_is_restricted_and_its_verifier_believes_only_the_journal(filled: Site) -> None:
    site = filled
    restrict(site, "f/s/v1:payroll.txt")
    site.run("audit", "--to", site.root / "package")
    package = site.root / "package"
    assert not [path for path in package.rglob("*") if path.is_file() and PAYROLL.encode() in path.read_bytes()]
    [listed] = [
        row
        for path in (package / "data/versions").rglob("*.jsonl")
        for line in path.read_text("utf-8").splitlines()
        if (row := json.loads(line))["path"] == "payroll.txt"
    ]
    assert (listed["file"], listed["why"]) == (None, f"restricted: {REASON}")
    assert REASON in (package / "report.html").read_text("utf-8")
    output = check_package(package)
    assert f"f, payroll.txt, SHA-256 {listed['sha256']} ({REASON})" in output
    # A later state, in which the restriction is over, takes it in again.
    site.run("unrestrict", "f/s/v1:payroll.txt", "--reason", "it belongs to the filing")
    site.run("audit", "--to", site.root / "later")
    assert (site.root / "later/data/materials/f/s/v1/payroll.txt").read_text() == PAYROLL
    assert "restricted" not in check_package(site.root / "later")


@pytest.mark.needs("processes")
@pytest.mark.parametrize("why", ["restricted: another reason", "restricted: ", "restricted: None"])
def test_the_verifier_does_not_believe_a_list(filled: Site, why: str) -> None:
    site = filled
    site.run("audit", "--to", site.root / "package", "--without", "payroll.txt")
    package = site.root / "package"
    [listing] = [path for path in (package / "data/versions").rglob("*.jsonl") if "payroll" in path.read_text()]
    listing.write_text(listing.read_text().replace("omitted: payroll.txt", why))
    seal_again(package)
    output = check_package(package, code=1)
    assert "does not restrict" in output


def test_content_whose_mode_cannot_be_changed_is_named(filled: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = digest_of(filled, "f/s/v1", "payroll.txt")
    restrict(filled, "f/s/v1:payroll.txt")
    content = filled.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    content.chmod(0o444)

    def refuse(_: ContentStore, sha256: str) -> None:
        # What the kernel says of an immutable file.
        raise PermissionError(errno.EPERM, "Operation not permitted", sha256)

    monkeypatch.setattr(ContentStore, "restrict_to_owner", refuse)
    archive = filled.open()
    assert enforce_restrictions(archive) == [sha256]
    content.unlink()
    assert enforce_restrictions(archive) == [], "what is lost is named by verify"
    archive.close()


def test_open_permissions_are_a_finding_and_maintenance_closes_them(filled: Site) -> None:
    site = filled
    sha256 = digest_of(site, "f/s/v1", "payroll.txt")
    restrict(site, "f/s/v1:payroll.txt")
    content = site.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    content.chmod(0o444)
    site.verified()  # Nobody else gets past the folder of the archive.
    site.archive.chmod(0o750)
    assert [finding["object"] for finding in site.findings() if finding["code"] == "A059"] == [sha256]
    site.run("maintain")
    assert mode_of(site, sha256) == 0o400
    content.chmod(0o444)
    site.catch_up()
    assert mode_of(site, sha256) == 0o400, "the service closes it at its start"
    site.verified()
    content.unlink()
    assert "A050" in {finding["code"] for finding in site.findings()}
