"""Good documents are read; broken ones and bombs are a value with the reason."""

from __future__ import annotations

import base64
import io
import os
import random
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import docx
import pytest
from PIL import Image
from pypdf import PdfWriter

from archiver.documents.cache import DocumentCache
from archiver.documents.document import ENCRYPTED, NO_READER, TOO_HEAVY, Document
from archiver.documents.document_types import detect_document_type
from archiver.documents.reader import DocumentReader, compare_lines
from tests.support.site import SAMPLES, Site


def read(path: Path, name: str) -> Document:
    with DocumentReader() as reader:
        return reader.read(path, name)


FIRST = (
    next(path for path in sorted(SAMPLES.iterdir()) if (path / "2026-03-首次备案").is_dir()) / "2026-03-首次备案"
)


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("算法安全自评估报告.pdf", "pdf"), ("算法安全自评估报告.docx", "docx"), ("数据来源清单.xlsx", "xlsx")],
)
def test_the_samples_are_read(name: str, kind: str) -> None:
    document = read(FIRST / name, name)
    assert (document.kind, document.problem) == (kind, "")
    assert len(document.lines) > 5
    assert any("算法" in line or "数据" in line for line in document.lines)
    assert document.pages == (36 if kind == "pdf" else None)


def test_the_content_tells_the_kind_not_the_name(tmp_path: Path) -> None:
    wrong = tmp_path / "报告.docx"
    wrong.write_bytes((FIRST / "算法安全自评估报告.pdf").read_bytes())
    assert detect_document_type(wrong, wrong.name) == "pdf"
    other = tmp_path / "other.bin"
    other.write_bytes(b"\0\1\2")
    assert read(other, other.name) == Document("")
    assert detect_document_type(tmp_path / "none.pdf", "none.pdf") == ""


@pytest.mark.needs("processes")
def test_no_process_to_read_with_is_no_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = FIRST / "算法安全自评估报告.pdf"
    cache = DocumentCache(tmp_path / "cache")
    monkeypatch.setattr("sys.executable", "/dev/null")
    with DocumentReader(cache) as reader:
        assert reader.read(path, path.name, "0" * 64).problem == NO_READER
    monkeypatch.undo()
    with DocumentReader(cache) as reader:
        assert reader.read(path, path.name, "0" * 64).problem == ""


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"kind": "text"},
        {"kind": "text", "lines": [], "more": 1},
        {"kind": "text", "lines": [1]},
        {"kind": "text", "lines": "abc"},
        {"kind": "text", "lines": [], "pages": "many"},
        {"kind": "text", "lines": [], "problem": None},
        {"kind": "text", "lines": [], "signed": "yes"},
    ],
)
def test_a_child_that_a_document_took_over_is_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    """It may answer anything; before, what lacked a field or had one too many was an exception in the parent."""
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nfrom archiver.workers import serve\nserve(lambda request: {answer!r})\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", os.fspath(program))
    path = FIRST / "算法安全自评估报告.pdf"
    assert read(path, path.name) == Document("pdf", problem=TOO_HEAVY)


ZEROS = b"0" * (1 << 20)


def bomb(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in parts.items():
            with packed.open(name, "w", force_zip64=True) as part:
                # Not in one piece: what this process needs at most is inherited by what it starts.
                for _ in range(256 if data == ZEROS else 1):
                    part.write(data)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def pages(count: int) -> bytes:
    """A PDF of so many pages, each with its number as text."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(count))),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number in range(count):
        text = b"BT /F1 12 Tf 72 720 Td (page %d) Tj ET" % number
        objects.append(
            b"<</Type/Page/Parent 2 0 R/Resources<</Font<</F1 3 0 R>>>>/MediaBox[0 0 595 842]/Contents %d 0 R>>"
            % (5 + 2 * number)
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(text), text))
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out) + b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)


LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 12) for n in range(12)
)
BROKEN = {
    "empty.pdf": b"%PDF-1.7\n",
    "truncated.pdf": (FIRST / "算法安全自评估报告.pdf").read_bytes()[:40_000],
    "truncated.docx": (FIRST / "算法安全自评估报告.docx").read_bytes()[:20_000],
    "zip.docx": bomb({"word/document.xml": ZEROS}),
    "laughs.xlsx": bomb(
        {"xl/workbook.xml": LAUGHS + b"]><workbook>&m;</workbook>", "[Content_Types].xml": b"<Types/>"}
    ),
    "pixels.png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)),
    "cut.jpg": (FIRST / "营业执照扫描件.jpg").read_bytes()[:3000],
    "nothing.txt": b"",
    "binary.txt": bytes(range(256)),
    "gbk.txt": "备案材料".encode("gb18030"),
    "noise.pdf": b"%PDF-1.4\n" + random.Random(1).randbytes(50_000),
    "loop.pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[2 0 R]/Count 9999999>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF",
}


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_document_is_a_value(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    document = read(path, name)
    assert isinstance(document, Document)
    if name == "gbk.txt":
        assert document.lines == ("备案材料",)
    if name.startswith(("truncated.docx", "zip", "laughs", "noise", "pixels", "cut")):
        assert document.kind == "" or document.problem


@pytest.mark.needs("processes")
def test_a_document_that_takes_the_reader_down_takes_no_other_with_it(tmp_path: Path) -> None:
    good = FIRST / "算法安全自评估报告.docx"
    (tmp_path / "zip.docx").write_bytes(BROKEN["zip.docx"])
    with DocumentReader() as reader:
        for _ in range(2):
            assert reader.read(tmp_path / "zip.docx", "zip.docx").problem
            assert reader.read(good, good.name).lines


@pytest.mark.needs("processes")
def test_ten_thousand_pages_are_counted_and_read_as_far_as_is_reasonable(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(pages(10_000))
    document = read(path, path.name)
    assert (document.pages, document.problem) == (10_000, "")
    assert document.lines[:2] == ("[1]", "page 0")


@pytest.mark.needs("processes")
def test_a_picture_has_a_size_and_a_small_copy() -> None:
    picture = read(FIRST / "营业执照扫描件.jpg", "x.jpg")
    assert (picture.kind, picture.problem) == ("picture", "")
    assert picture.width > 100
    assert picture.height > 100
    with Image.open(io.BytesIO(base64.b64decode(picture.thumbnail))) as small:
        assert max(small.size) == 96


@pytest.mark.needs("processes")
def test_a_password_is_a_problem_and_an_empty_one_is_none(tmp_path: Path) -> None:
    for password in ("", "secret"):
        writer = PdfWriter(clone_from=io.BytesIO(pages(3)))
        writer.encrypt(password, algorithm="AES-256")
        path = tmp_path / f"{password}.pdf"
        writer.write(path)
        document = read(path, path.name)
        assert (document.pages, document.problem) == ((None, ENCRYPTED) if password else (3, ""))


@pytest.mark.needs("processes")
def test_headers_and_footnotes_of_a_text_are_read(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("正文")
    document.sections[0].header.paragraphs[0].text = "内部资料"
    document.save(tmp_path / "x.docx")
    assert read(tmp_path / "x.docx", "x.docx").lines == ("正文", "内部资料")


@pytest.mark.needs("processes")
def test_what_was_read_is_kept_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "报告.docx"
    path.write_bytes((FIRST / "算法安全自评估报告.docx").read_bytes())
    cache, sha256 = DocumentCache(tmp_path), "ab" + "0" * 62
    with DocumentReader(cache) as reader:
        first = reader.read(path, path.name, sha256)
        assert [each.stat().st_mode & 0o777 for each in (tmp_path / "documents").rglob("*.1")] == [0o600]
    with monkeypatch.context() as patched, DocumentReader(cache) as reader:
        patched.setattr(DocumentReader, "_extract_in_worker", None)
        assert reader.read(path, path.name, sha256) == first
    cache.remove_entries([sha256])
    assert not list((tmp_path / "documents").rglob("*.1"))
    cache.put(sha256, True, first, tmp_path / "gone")
    assert cache.get(sha256, "docx", True) is None
    next((tmp_path / "documents").iterdir()).joinpath(f"{sha256}.docx.text.1").write_bytes(b"damage")
    assert cache.get(sha256, "docx", True) is None


@pytest.mark.needs("root")
def test_nobody_leaves_text_in_an_archive_that_is_not_theirs(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, -1)
    DocumentCache(tmp_path).put("ab" * 32, True, Document("text", ("x",)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_differs_is_told_and_bounded() -> None:
    old = Document("text", tuple(f"line {n}" for n in range(1000)))
    new = Document("text", (*old.lines[:500], "changed", *old.lines[501:]))
    assert [line for line in compare_lines(old, new) if line[:1] in "+-"] == ["-line 500", "+changed"]
    assert compare_lines(old, old) == []
    assert compare_lines(Document("text"), old, max_lines=10)[-1] == "... 991"


def test_diff_text_and_the_report_show_it_and_broken_ones_stop_nothing(site: Site) -> None:
    for name, data in BROKEN.items():
        site.write(f"f/s/{name}", data)
    site.write("f/s/报告.docx", (FIRST / "算法安全自评估报告.docx").read_bytes())
    site.write("f/s/清单.txt", "一\n二\n三\n")
    site.write("f/s/long.pdf", pages(2000))
    site.write("f/s/数据.xlsx", (FIRST / "数据来源清单.xlsx").read_bytes())
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-01")
    again = FIRST.parent / "2026-04-补正" / "算法安全自评估报告.docx"
    site.write("f/s/报告.docx", again.read_bytes())
    site.write("f/s/清单.txt", "一\n贰\n三\n")
    site.write("f/s/long.pdf", pages(1999))
    site.write("f/s/数据.xlsx", next(FIRST.parent.glob("2026-09-*/数据来源清单.xlsx")).read_bytes())
    site.write("f/s/truncated.pdf", BROKEN["truncated.pdf"][:-500])
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-02")
    out = site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout
    assert "-二" in out
    assert "+贰" in out
    assert "-page 1999" in out
    assert re.search(r"^  \+\S+![A-Z]+\d+: ", out, re.MULTILINE), "cells of the table"
    assert "报告.docx" in out
    site.run("audit", "--to", "one")
    assert "+贰" in (site.root / "one/report.html").read_text("utf-8")
    site.run("audit", "--to", "two", "--without", "*.txt")
    assert "+贰" not in (site.root / "two/report.html").read_text("utf-8")
    site.verified()
