"""What the console does to all texts."""

from __future__ import annotations

import pytest

from archiver.cli.console import Console


@pytest.mark.parametrize(("lang", "joined"), [("en", "甲, 乙"), ("zh", "甲、乙")])
def test_an_enumeration_has_the_separator_of_the_language(lang: str, joined: str) -> None:
    assert Console(lang).join(["甲", "乙"]) == joined
    assert Console(lang).join([]) == ""
