from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.audit.portable import PortableNames
from archiver.store.names import name_from_text
from tests.restore.test_restoration import NAMES
from tests.support.bags import open_bag
from tests.support.site import SAMPLES, Site, tree

component = st.one_of(
    st.sampled_from(NAMES),
    st.binary(min_size=1, max_size=255).filter(
        lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
    ),
    st.sampled_from(
        [b"CON", b"nul.txt", b"Com1", b"~x", b" ", b"...", "ﬁ".encode(), "Ⅳ".encode(), "ß".encode(), b"ss"]
    ),
)


@given(st.lists(st.lists(component, min_size=1, max_size=3).map(b"/".join), max_size=20, unique=True))
def test_portable_names_never_fall_together(paths: list[bytes]) -> None:
    names = PortableNames()
    made = [names.assign_path(path) for path in paths]
    folded = [unicodedata.normalize("NFC", name).casefold() for name in made]
    assert len(set(folded)) == len(paths)
    for name, original in zip(made, paths, strict=True):
        assert not re.search(r'[\x00-\x1f\x7f"*:<>?\\|%]', name)
        assert names.original_by_portable.get(name, name.encode()) == original
        for part in name.split("/"):
            assert part
            assert not part.endswith((".", " "))
            assert not part.startswith(("-", "~"))
            assert len(part.encode()) <= 255


def test_readable_names_stay_as_they_are() -> None:
    assert (
        PortableNames().assign_path("算法/首次 备案/报告（终）.docx".encode()) == "算法/首次 备案/报告（终）.docx"
    )


@pytest.fixture
def filled(site: Site) -> Site:
    for filing in SAMPLES.iterdir():
        shutil.copytree(filing, site.watch / filing.name)
    for number, name in enumerate(NAMES):
        site.write(b"g/s/" + name, b"%d" % number)
    site.write("g/s/empty", b"")
    site.catch_up()
    site.write("g/s/a b", "changed")
    site.catch_up()
    site.run("submit", "g/s", "--on", "2026-03-20", "--receipt", site.config)
    return site


def test_the_package_is_a_valid_bag_that_holds_every_byte(filled: Site) -> None:
    filled.run("audit", "--to", filled.root / "pkg")
    package = filled.root / "pkg"
    open_bag(package).validate()
    subprocess.run(["sha256sum", "-c", "--quiet", "manifest-sha256.txt"], cwd=package, check=True)
    mapping = json.loads((package / "data/names.json").read_bytes())
    names = {portable: name_from_text(shown) for portable, shown in mapping.items()}
    for version in filled.json("log"):
        rows = _version_rows(package, names, version["name"])
        expected = filled.json("show", version["tag"])["materials"]
        assert {row["path"]: row["sha256"] for row in rows if row["file"]} == {
            m["path"]: m["sha256"] for m in expected
        }
        for row in rows:
            if row["file"]:
                data = (package / row["file"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == row["sha256"]
    contents = [
        row["sha256"]
        for v in filled.json("log")
        for row in _version_rows(package, names, v["name"])
        if row["file"]
    ]
    stored = [p for p in (package / "data/materials").rglob("*") if p.is_file()]
    assert len(stored) == len(set(contents)), "each content is stored once"
    assert next((package / "data/submitted").rglob("receipt.toml")).read_bytes() == filled.config.read_bytes()


def _version_rows(package: Path, names: dict[str, bytes], version_name: str) -> list[dict[str, str]]:
    portable = {original: name for name, original in names.items()}
    path = package / "data/versions" / f"{portable.get(name_from_text(version_name), version_name)}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_journal_extract_is_a_chain(filled: Site) -> None:
    filled.run("audit", "--to", filled.root / "pkg")
    prev = "0" * 64
    lines = (filled.root / "pkg/data/journal.jsonl").read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        assert (event["prev"], event["seq"]) == (f"sha256:{prev}", number)
        prev = hashlib.sha256(line).hexdigest()
    assert len(lines) >= 8


def test_the_report_counts_pages_and_years(filled: Site) -> None:
    filled.run("audit", "--to", filled.root / "pkg")
    page = (filled.root / "pkg/report.html").read_text(encoding="utf-8")
    assert "2029-" in page
    assert ">36 页<" in page, "pages of the report"


def test_a_choice_of_filings(filled: Site) -> None:
    filled.run("audit", "--to", filled.root / "pkg", "--filing", "g")
    page = (filled.root / "pkg/report.html").read_text(encoding="utf-8")
    assert "星河听雨" not in page
    assert [p.name for p in (filled.root / "pkg/data/materials").iterdir()] == ["g"]


def digests(package: Path) -> dict[str, str]:
    return {
        os.fspath(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*")
        if path.is_file()
    }


def test_the_zip_holds_the_same(filled: Site) -> None:
    # Of a copy: the second export of one archive would hold the event of the first.
    shutil.copytree(filled.archive, filled.root / "copy", symlinks=True)
    filled.run("audit", "--to", filled.root / "pkg", "--zip", "--filing", "g")
    shutil.rmtree(filled.archive)
    (filled.root / "copy").rename(filled.archive)
    filled.run("audit", "--to", filled.root / "folder", "--filing", "g")
    with zipfile.ZipFile(filled.root / "pkg.zip") as packed:
        packed.extractall(filled.root / "out")
    open_bag(filled.root / "out/pkg").validate()
    assert not (filled.root / "pkg").exists()
    zipped, written = digests(filled.root / "out/pkg"), digests(filled.root / "folder")
    assert zipped.keys() == written.keys()
    # The record of the export names its time and target, and the manifests have its digest.
    record = {"export.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"}
    assert {name for name in zipped if zipped[name] != written[name]} <= record


def test_a_damaged_archive_gives_no_half_package(filled: Site) -> None:
    victim = max(
        (p for p in (filled.repository / "lfs").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )
    victim.unlink()
    done = filled.run("audit", "--to", filled.root / "pkg", code=8)
    assert "package was written" in done.stderr
    assert not [p for p in filled.root.iterdir() if "pkg" in p.name]


@pytest.mark.needs("root", "mount")
def test_a_full_disk_leaves_nothing_behind(filled: Site) -> None:
    small = filled.root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", small], check=True)
    try:
        done = filled.run("audit", "--to", small / "pkg", code=8)
        assert "No space left" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_an_export_is_journalled(filled: Site) -> None:
    filled.run("audit", "--to", filled.root / "pkg")
    event = json.loads(filled.git("show", "journal:body.json").stdout)
    assert event["action"] == "export"
    assert event["details"]["target"] == os.fspath(filled.root / "pkg")
    filled.verified()


def test_the_watched_folder_is_no_target(filled: Site) -> None:
    before = tree(filled.watch)
    filled.run("audit", "--to", filled.watch / "pkg", code=2)
    assert tree(filled.watch) == before
