"""Templates: escaped, complete or an error, and compiled once where Python may keep what it compiled."""

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
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield made
    del sys.modules["some_pages"]


def _loud(text: str) -> str:
    return text.upper()


def render(**facts: str) -> str:
    return template("some_pages", "page.j2", loud=_loud).render(**facts)


def compiled(package: Path) -> list[Path]:
    return list((package / "__pycache__").glob("*.jinja-*"))


def test_what_is_filled_in_is_escaped_and_what_is_missing_is_an_error(package: Path) -> None:
    assert render(name="a<b") == "<b>a&lt;b A&lt;B</b>"
    with pytest.raises(jinja2.UndefinedError):
        render()


def test_it_is_compiled_once(package: Path) -> None:
    (package / "__pycache__").mkdir()
    assert render(name="x") == "<b>x X</b>"
    (kept,) = compiled(package)
    before = kept.stat().st_mtime_ns
    assert render(name="y") == "<b>y Y</b>"
    assert [path.stat().st_mtime_ns for path in compiled(package)] == [before]


def test_what_was_compiled_of_another_text_is_not_used(package: Path) -> None:
    (package / "__pycache__").mkdir()
    render(name="x")
    (package / "templates" / "page.j2").write_text("<i>{{ name }}</i>")
    assert render(name="x") == "<i>x</i>"


def test_what_cannot_be_read_is_compiled_again(package: Path) -> None:
    (package / "__pycache__").mkdir()
    render(name="x")
    (kept,) = compiled(package)
    kept.write_bytes(b"not what Jinja compiled")
    assert render(name="x") == "<b>x X</b>"


def test_where_nothing_can_be_kept_it_works_all_the_same(package: Path) -> None:
    (package / "__pycache__").touch()
    assert render(name="x") == "<b>x X</b>"


def test_nothing_is_kept_where_python_keeps_nothing(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "__pycache__").mkdir()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    render(name="x")
    assert not compiled(package)
