"""A broken copy is noted when it is captured, and the note goes when the good copy comes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfWriter

from archiver.documents.integrity import DEFECTS, find_defect, is_disguised_page
from tests.support.site import SAMPLES, Site

FIRST = next(SAMPLES.glob("*/2026-03-首次备案"))
PDF = (FIRST / "算法安全自评估报告.pdf").read_bytes()
DOCX = (FIRST / "算法安全自评估报告.docx").read_bytes()
XLSX = (FIRST / "数据来源清单.xlsx").read_bytes()
JPG = (FIRST / "营业执照扫描件.jpg").read_bytes()
PNG = next(SAMPLES.rglob("*.png"), None)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)


def encrypted() -> bytes:
    writer, out = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="AES-256")
    writer.write(out)
    return out.getvalue()


def empty_zip() -> bytes:
    out = io.BytesIO()
    zipfile.ZipFile(out, "w").close()
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("a.pdf", PDF, ""),
        ("A.PDF", b"\n" * 900 + PDF + b"\0" * 5000, ""),
        ("a.pdf", PDF[:-10], "cut"),
        ("a.pdf", b"", "empty"),
        ("a.pdf", DOCX, "misnamed"),
        ("a.pdf", encrypted(), "encrypted"),
        ("a.pdf", b"%PDF-1.5\n1 0 obj<</Linearized 1/L 9000/H[1 2]>>endobj\n%%EOF\n" + bytes(5000), "cut"),
        ("a.docx", DOCX, ""),
        ("a.docx", OLE, "misnamed"),
        ("a.docx", OLE + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        ("a.docx", PDF, "misnamed"),
        ("a.xlsx", XLSX, ""),
        ("a.xlsx", XLSX[100:], "misnamed"),
        ("a.xlsx", XLSX[:200] + XLSX[1200:], "cut"),
        ("a.pptx", empty_zip(), ""),
        ("a.jpg", JPG, ""),
        ("a.jpeg", JPG + b"SEFT" * 10, ""),
        ("a.jpg", PDF, "misnamed"),
        ("a.txt", b"", ""),
        ("anything", b"%PDF", ""),
    ],
)
def test_what_is_noted(tmp_path: Path, name: str, data: bytes, word: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert find_defect(str(path) if data else None, name.encode()) == word
    assert word == "" or word in DEFECTS


@pytest.mark.parametrize(("suffix", "data"), [("pdf", PDF), ("docx", DOCX), ("xlsx", XLSX), ("jpg", JPG)])
def test_a_copy_that_was_cut_off_anywhere_is_noted(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("cut") / "x"

    @given(st.integers(1, len(data) - 40))
    def check(length: int) -> None:
        path.write_bytes(data[:length])
        assert find_defect(str(path), f"x.{suffix}".encode()) in ("cut", "misnamed")

    check()


@given(st.binary(max_size=3000), st.sampled_from(["pdf", "docx", "jpg", "png"]))
def test_any_bytes_give_a_word_that_is_known(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    assert find_defect(str(path), f"x.{suffix}".encode()) in {"", *DEFECTS}


def test_somebody_is_told_in_time(site: Site) -> None:
    site.write("f/s/报告.pdf", PDF[:20_000])
    site.write("f/s/清单.xlsx", XLSX)
    site.catch_up()
    doubtful_file = {"tag": "f/s/v1", "name": "f/s/v1", "path": "报告.pdf", "health": "cut"}
    assert site.json("status")["doubtful"] == [doubtful_file]
    assert "Possibly damaged: 报告.pdf in f/s/v1: it is truncated" in site.run("status").stdout
    shown = {each["path"]: each.get("health") for each in site.json("show", "f/s/v1")["materials"]}
    assert shown == {"报告.pdf": "cut", "清单.xlsx": None}
    assert (
        "报告.pdf: is possibly damaged: it is truncated" in site.run("submit", "f/s", "--on", "2026-01-01").stderr
    )
    site.run("audit", "--to", "package")
    assert "可能损坏" in site.root.joinpath("package/report.html").read_text("utf-8")
    site.run("reindex")
    assert len(site.json("status")["doubtful"]) == 1

    site.write("f/s/报告.pdf", PDF)
    site.catch_up()
    assert site.json("status")["doubtful"] == []
    assert "health" in str(site.json("show", "f/s/v1")["materials"])
    assert "truncated" not in site.run("submit", "f/s", "--on", "2026-01-02").stderr
    site.verified()


def test_a_page_of_comments_is_examined_at_once(tmp_path: Path) -> None:
    """An expression that matches in many ways would take centuries for it, and hold the service up."""
    path = tmp_path / "a"
    path.write_bytes(b"<!---->" * 500 + b"x")
    assert not is_disguised_page(str(path), b"a.doc")
    path.write_bytes(b"<!-- a --> <!---->\n<html>")
    assert is_disguised_page(str(path), b"a.doc")
