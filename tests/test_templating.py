"""Templates: escaped, and complete or an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from archiver.templating import template


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    made = tmp_path / "some_pages"
    (made / "templates").mkdir(parents=True)
    (made / "__init__.py").touch()
    (made / "templates" / "page.j2").write_text("<b>{{ name }} {{ name | loud }}</b>")
    monkeypatch.syspath_prepend(tmp_path)
    yield made
    del sys.modules["some_pages"]


def _loud(text: str) -> str:
    return text.upper()


def render(**facts: str) -> str:
    return template("some_pages", "page.j2", loud=_loud).render(**facts)


@pytest.mark.usefixtures("package")
def test_what_is_filled_in_is_escaped_and_what_is_missing_is_an_error() -> None:
    assert render(name="a<b") == "<b>a&lt;b A&lt;B</b>"
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        render()


def test_nothing_is_written_beside_the_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write what Jinja loads may change the program: no file of its own is loaded."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (package / "__pycache__").mkdir()
    render(name="x")
    assert not list((package / "__pycache__").glob("*jinja*"))
