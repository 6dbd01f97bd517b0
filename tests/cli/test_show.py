"""What ``show`` prints for people."""

from __future__ import annotations

import pytest

from tests.support.site import Site


@pytest.mark.parametrize(("lang", "kind"), [("en", "(first filing)"), ("zh", "（首次备案）")])
def test_a_submission_is_named_by_its_kind(site: Site, lang: str, kind: str) -> None:
    """``first`` is the code, for the command line and for JSON."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-03-20", "--kind", "first")
    assert kind in site.run("--lang", lang, "show", "f/s/v1").stdout
    assert kind in site.run("--lang", lang, "filing", "show", "f").stdout
