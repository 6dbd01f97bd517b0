"""The administrator's limits for files and filings: what exceeds one is listed, and everything else is captured."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from archiver.intake.folder.access import DirectAccess
from archiver.intake.folder.child_access import ChildAccess
from archiver.store.content.spool import Spool
from tests.support.site import Site

MEGABYTE = 1 << 20


def sparse_file(path: Path, size: int, *blocks: tuple[int, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for offset, data in blocks:
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    return path


def skipped(site: Site) -> dict[str, str]:
    return {item["path"]: item["code"] for item in site.json("status")["skipped"]}


def materials(site: Site, tag: str) -> dict[str, int]:
    return {file["path"]: file["size"] for file in site.json("show", tag)["materials"]}


# --- sparse files


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [(0, b"head")],
        [(5 * MEGABYTE - 3, b"end")],
        [(MEGABYTE - 1, b"ab"), (3 * MEGABYTE, bytes(MEGABYTE))],
        [(300_000, b"x" * 200_000)],
    ],
)
def test_a_sparse_copy_has_the_same_bytes_and_the_same_holes(
    tmp_path: Path, blocks: list[tuple[int, bytes]]
) -> None:
    source_file = sparse_file(tmp_path / "w" / "disk.img", 5 * MEGABYTE, *blocks)
    (tmp_path / "spool").mkdir()
    source = DirectAccess(tmp_path / "w").open(b"disk.img")
    try:
        assert source.allocated_bytes == os.stat(source_file).st_blocks * 512 < 2 * MEGABYTE
        copy = Spool(tmp_path / "spool").stage_copy(source)
    finally:
        source.close()
    assert copy.spool_path is not None
    assert Path(copy.spool_path).read_bytes() == source_file.read_bytes()
    assert copy.sha256 == hashlib.sha256(source_file.read_bytes()).hexdigest()
    assert os.stat(copy.spool_path).st_blocks * 512 < 2 * MEGABYTE


@pytest.mark.needs("processes")
def test_the_child_that_reads_a_share_reports_the_space_of_a_file(tmp_path: Path) -> None:
    expected = os.stat(sparse_file(tmp_path / "w" / "disk.img", MEGABYTE, (0, b"head"))).st_blocks * 512
    access = ChildAccess(tmp_path / "w", 20)
    try:
        source = access.open(b"disk.img")
        assert source.allocated_bytes == expected
        source.close()
        # Some filesystems in user space report no blocks for any file: then the size counts.
        sparse_file(tmp_path / "w" / "empty.img", MEGABYTE)
        source = access.open(b"empty.img")
        assert source.allocated_bytes == MEGABYTE
        source.close()
    finally:
        access.close()


@pytest.mark.needs("processes")
def test_a_sparse_file_counts_with_the_space_that_it_occupies(site: Site) -> None:
    site.set("watch", "max_file_bytes", MEGABYTE)
    site.set("watch", "filing_quota_bytes", MEGABYTE)
    sparse_file(site.watch / "推荐/首次/镜像.img", 1 << 30, (0, b"head"))
    site.catch_up()
    assert materials(site, "推荐/首次/v1") == {"镜像.img": 1 << 30}
    (note,) = site.json("status")["notes"]
    assert (note["path"], note["code"]) == ("推荐/首次/镜像.img", "path.sparse")
    assert "Note: 推荐/首次/镜像.img: is a sparse file" in site.run("status").stdout
    stored = sum(file.stat().st_blocks * 512 for file in (site.archive / "archive.git/lfs/objects").rglob("*"))
    assert stored < MEGABYTE, "1 GB of zeros must not fill the archive's disk"
    # The holes do not use up the quota of the filing either, and the note ends with the file.
    site.write("推荐/首次/报告.docx", b"x" * 500_000)
    site.catch_up()
    assert "报告.docx" in materials(site, "推荐/首次/v2")
    (site.watch / "推荐/首次/镜像.img").unlink()
    site.catch_up()
    assert site.json("status")["notes"] == []
    assert site.verified()


@pytest.mark.needs("processes")
def test_without_limits_nothing_is_noted(site: Site) -> None:
    sparse_file(site.watch / "推荐/首次/镜像.img", 4 * MEGABYTE, (0, b"head"))
    site.catch_up()
    assert site.json("status")["notes"] == []


# --- single files


@pytest.mark.needs("processes")
def test_a_file_beyond_the_limit_is_listed_and_keeps_nothing_else_out(site: Site) -> None:
    site.set("watch", "max_file_bytes", 1000)
    site.set("watch", "settle_seconds", 0)
    site.write("推荐/首次/报告.docx", b"x" * 1000)
    site.write("推荐/首次/录像.mp4", b"x" * 1001)
    done = site.run("run", "--once", "--settle", 0.05, code=9)
    assert (
        "Not archived: 推荐/首次/录像.mp4: is larger than watch.max_file_bytes allows: 1001 B"
        in done.stdout + done.stderr
    )
    assert materials(site, "推荐/首次/v1") == {"报告.docx": 1000}
    assert skipped(site) == {"推荐/首次/录像.mp4": "path.too-large"}
    checked = site.run("status", "--check", code=9)
    assert "1 file is not captured because of a size limit in the settings" in checked.stderr
    assert "status.unreadable-paths" not in site.json("status")["problem_codes"]
    # A submission would lack the file: it is refused unless a person states the reason.
    refused = site.run("submit", "推荐/首次", "--on", "2026-11-25", code=4)
    assert "录像.mp4" in refused.stderr
    assert "is larger than watch.max_file_bytes allows" in refused.stderr
    site.set("watch", "max_file_bytes", 1001)
    site.catch_up()
    assert set(materials(site, "推荐/首次/v2")) == {"报告.docx", "录像.mp4"}
    assert skipped(site) == {}


@pytest.mark.needs("processes")
def test_a_file_that_grows_beyond_the_limit_is_not_deleted(site: Site) -> None:
    site.set("watch", "max_file_bytes", 1000)
    site.write("推荐/首次/日志.txt", b"x" * 900)
    site.catch_up()
    site.write("推荐/首次/日志.txt", b"x" * 2000)
    site.run("run", "--once", "--settle", 0.05, code=9)
    assert site.tags() == ["推荐/首次/v1"]
    (site.watch / "推荐/首次/日志.txt").unlink()
    site.catch_up()
    assert materials(site, "推荐/首次/v2") == {}
    assert skipped(site) == {}


@pytest.mark.needs("processes")
def test_the_limit_also_holds_for_many_small_files(site: Site) -> None:
    """From 500 small files on, child processes read them, which know no limits."""
    site.set("watch", "max_file_bytes", 10)
    for number in range(600):
        site.write(f"推荐/首次/{number:03}.txt", b"x" * (11 if number % 100 == 0 else 10))
    site.run("run", "--once", "--settle", 0.05, code=9)
    assert len(materials(site, "推荐/首次/v1")) == 594
    assert skipped(site) == {f"推荐/首次/{number}00.txt": "path.too-large" for number in range(6)}


# --- the quota of a filing


@pytest.mark.needs("processes")
def test_what_does_not_fit_into_the_quota_is_listed(site: Site) -> None:
    site.set("watch", "filing_quota_bytes", 10_000)
    for path in ("推荐/首次/a.pdf", "推荐/首次/b.pdf", "推荐/变更/c.pdf", "生成/首次/d.pdf"):
        site.write(path, b"x" * 4000)
    site.run("run", "--once", "--settle", 0.05, code=9)
    captured = {f"{tag.rsplit('/', 1)[0]}/{path}" for tag in site.tags() for path in materials(site, tag)}
    (left_out,) = skipped(site)
    assert captured | {left_out} == {"推荐/首次/a.pdf", "推荐/首次/b.pdf", "推荐/变更/c.pdf", "生成/首次/d.pdf"}
    assert left_out.startswith("推荐/")
    assert skipped(site)[left_out] == "path.over-quota"
    assert "10000 B" in site.run("status").stdout
    # The quota of one filing replaces the general one.
    site.configure(filings={"推荐": {"quota_bytes": 12_000}})
    site.catch_up()
    assert skipped(site) == {}


@pytest.mark.needs("processes")
def test_a_long_history_does_not_use_up_the_quota(site: Site) -> None:
    site.set("watch", "filing_quota_bytes", 10_000)
    for number in range(5):
        site.write("推荐/首次/报告.docx", bytes([number]) * 9000)
        site.catch_up()
    assert len(site.tags()) == 5
    # A file whose bytes are the same takes no more space, and a deletion makes space for another one.
    os.utime(site.watch / "推荐/首次/报告.docx", ns=(0, 0))
    (site.watch / "推荐/首次/报告.docx").rename(site.watch / "推荐/首次/改名.docx")
    site.catch_up()
    assert set(materials(site, site.tags()[0])) == {"改名.docx"}
    # The databases are made again from the archive, and the filing is as full as before.
    (site.archive / "state.db").unlink()
    site.catch_up()
    site.write("推荐/首次/另一.docx", b"x" * 2000)
    site.run("run", "--once", "--settle", 0.05, code=9)
    assert skipped(site) == {"推荐/首次/另一.docx": "path.over-quota"}
    (site.watch / "推荐/首次/改名.docx").write_bytes(b"smaller")
    site.catch_up()
    assert set(materials(site, site.tags()[0])) == {"改名.docx", "另一.docx"}


@pytest.mark.parametrize("value", [0, -1, 1.5, '"1 GB"', "true"])
@pytest.mark.parametrize("key", ["max_file_bytes", "filing_quota_bytes"])
@pytest.mark.needs("processes")
def test_a_limit_is_a_whole_number_of_bytes(site: Site, key: str, value: object) -> None:
    site.set("watch", key, value)
    assert "must be a whole number of bytes, at least 1" in site.run("status", code=3).stderr
