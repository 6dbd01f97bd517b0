"""Good documents are read; broken ones and bombs are a value with the reason."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest

from archiver.documents.reader import Document, difference, kind_of, read
from tests.conftest import SAMPLES, Site

FIRST = (
    next(path for path in sorted(SAMPLES.iterdir()) if (path / "2026-03-首次备案").is_dir()) / "2026-03-首次备案"
)


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
    assert kind_of(wrong, wrong.name) == "pdf"
    picture = FIRST / "营业执照扫描件.jpg"
    assert read(picture, picture.name) == Document("")
    assert kind_of(tmp_path / "none.pdf", "none.pdf") == ""


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
    "nothing.txt": b"",
    "binary.txt": bytes(range(256)),
    "gbk.txt": "备案材料".encode("gb18030"),
    "noise.pdf": b"%PDF-1.4\n" + random.Random(1).randbytes(50_000),
    "loop.pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[2 0 R]/Count 9999999>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF",
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_document_is_a_value(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    document = read(path, name)
    assert isinstance(document, Document)
    if name == "gbk.txt":
        assert document.lines == ("备案材料",)
    if name.startswith(("truncated.docx", "zip", "laughs", "noise")):
        assert document.kind == "" or document.problem


def test_what_differs_is_told_and_bounded() -> None:
    old = Document("text", tuple(f"line {n}" for n in range(1000)))
    new = Document("text", (*old.lines[:500], "changed", *old.lines[501:]))
    assert [line for line in difference(old, new) if line[:1] in "+-"] == ["-line 500", "+changed"]
    assert difference(old, old) == []
    assert difference(Document("text"), old, most=10)[-1] == "... 991"


def test_diff_text_and_the_report_show_it_and_broken_ones_stop_nothing(site: Site) -> None:
    for name, data in BROKEN.items():
        site.write(f"f/s/{name}", data)
    site.write("f/s/报告.docx", (FIRST / "算法安全自评估报告.docx").read_bytes())
    site.write("f/s/清单.txt", "一\n二\n三\n")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-01")
    again = FIRST.parent / "2026-04-补正" / "算法安全自评估报告.docx"
    site.write("f/s/报告.docx", again.read_bytes())
    site.write("f/s/清单.txt", "一\n贰\n三\n")
    site.write("f/s/truncated.pdf", BROKEN["truncated.pdf"][:-500])
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-02")
    out = site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout
    assert "-二" in out
    assert "+贰" in out
    assert "报告.docx" in out
    site.run("audit", "--to", "one")
    assert "+贰" in (site.root / "one/report.html").read_text("utf-8")
    site.run("audit", "--to", "two", "--without", "*.txt")
    assert "+贰" not in (site.root / "two/report.html").read_text("utf-8")
    site.verified()
