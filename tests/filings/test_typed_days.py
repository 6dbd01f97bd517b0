"""A typed day has one form."""

from __future__ import annotations

from datetime import date

import pytest

from archiver.errors import UsageError
from archiver.filings.record_checks import check_field_values
from archiver.filings.register import Filing
from archiver.filings.typed_days import parse_day

#: ISO 8601 too, and read by Python since 3.11; then digits that are none of ASCII, and what people mistype.
OTHER_FORMS = [
    "20260101",
    "2026-W01-1",
    "2026W011",
    "２０２６-01-01",
    "2026-1-1",
    "2026-01-01 ",
    "2026-01-01T00:00",
    "",
]


def test_a_day_is_read() -> None:
    assert parse_day("2026-01-01") == date(2026, 1, 1)


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_other_forms_of_a_day_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid date such as 2026-05-01"):
        parse_day(text)


def test_a_sheet_takes_days_in_that_form_alone() -> None:
    with pytest.raises(UsageError, match="20260320 is not a valid date"):
        check_field_values(Filing("f"), {"issued_on": "20260320"}, None)


def test_a_recorded_day_in_another_form_is_still_compared() -> None:
    """Earlier releases recorded the days of a sheet as they were typed."""
    filing = Filing("f", sheet_fields={"service_start": "20260320"})
    check_field_values(filing, {"service_end": "2026-03-20"}, None)
    with pytest.raises(UsageError, match="before the start date 2026-03-20"):
        check_field_values(filing, {"service_end": "2026-03-19"}, None)
