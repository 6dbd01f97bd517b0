"""The ids of parametrised tests."""

from __future__ import annotations

import pytest

LONGEST_ID = 100


def test_ids_are_short_and_can_be_printed(request: pytest.FixtureRequest) -> None:
    """Workers compare them byte by byte: a whole document as an id, made anew in each, ends the run."""
    ids = {item.nodeid: item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    assert [name for name, words in ids.items() if len(words) > LONGEST_ID or not words.isprintable()] == []
