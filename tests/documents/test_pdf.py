from __future__ import annotations

from pathlib import Path

import pytest

from archiver.documents.pdf import facts
from tests.conftest import SAMPLES


def test_pages_of_the_samples_are_counted() -> None:
    reports = sorted(SAMPLES.rglob("算法安全自评估报告.pdf"))
    assert [facts(path).pages for path in reports] == [36, 38]


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"not a pdf", b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer<<>>"])
def test_a_damaged_file_is_a_value(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pdf").write_bytes(data)
    found = facts(tmp_path / "x.pdf")
    assert found.pages is None
    assert found.problem.startswith("damaged")


def test_a_truncated_report_is_a_value(tmp_path: Path) -> None:
    report = next(SAMPLES.rglob("算法安全自评估报告.pdf")).read_bytes()
    (tmp_path / "x.pdf").write_bytes(report[: len(report) // 2])
    facts(tmp_path / "x.pdf")
