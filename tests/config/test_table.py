"""The table of settings: each entry works in a file, is refused with its name, and stands in the documents."""

from __future__ import annotations

import grp
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.config import loader, template
from archiver.config.schema import Setting, declared_settings, setting_values
from archiver.config.settings import TABLE_SUMMARIES, Config, FilingSettings, settings_by_table
from archiver.errors import ConfigError
from tests.support.settings_page import PAGES, render
from tests.support.toml_text import dump_value

REQUIRED = {"archive": {"path": "a"}, "watch": {"path": "w"}}
#: The name of a filing that TOML has to quote.
FILING = "推荐.算法"
#: A value of each type that TOML has; a number may have a fraction or not.
OF_EACH_TYPE = [True, 7, 0.5, "text", ["text"], {"key": "text"}]


def write(folder: Path, table: str, name: str, value: object) -> Path:
    """A file with the required settings and one more."""
    tables: dict[str, dict[str, Any]] = {key: dict(content) for key, content in REQUIRED.items()}
    if table == "filings":
        tables[table] = {FILING: {name: value}}
    else:
        tables.setdefault(table, {})[name] = value
    path = folder / "archiver.toml"
    path.write_text("".join(f"{key} = {dump_value(content)}\n" for key, content in tables.items()), "utf-8")
    return path


#: Table, key in it, and setting: one for every key that a file may hold.
KEYS = [
    pytest.param(table, name, setting, id=f"{table}.{name}")
    for table, group in settings_by_table().items()
    for setting in group
    for name in setting.keys_in_table
]


def default_of(table: str, name: str, setting: Setting) -> object:
    if table == "filings" or setting.is_required or setting.default is None:
        return setting.example
    return [] if setting.value_type.members else setting.default


@pytest.fixture
def every_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The groups of the examples are none of this machine."""
    monkeypatch.setattr(grp, "getgrnam", lambda _name: None)


@pytest.mark.parametrize(("table", "name", "setting"), KEYS)
def test_a_default_in_the_file_changes_nothing(tmp_path: Path, table: str, name: str, setting: Setting) -> None:
    checked = loader.check_config_file(write(tmp_path, table, name, default_of(table, name, setting)))
    assert checked.problems == ()
    config = checked.require_config()
    if table != "filings" and not setting.is_required and setting.default is not None:
        untouched = Config(config.source, config.archive, config.watch)
        values = {key: value for key, _, value in setting_values(config)}
        expected = {key: value for key, _, value in setting_values(untouched)}
        # A table of lists has what stands in it, although an empty list is what a missing one means.
        assert values == expected | ({table: {name: ()}} if setting.value_type.members else {})


def is_accepted(setting: Setting, value: object) -> bool:
    """Whether ``value`` is of the setting's type, seen from its default or its example."""
    example = next(iter(setting.example.values())) if setting.value_type.members else setting.example  # type: ignore[attr-defined]
    if type(value) is not type(example):
        is_float = isinstance(value, float) and "whole" not in str(setting.value_type.requirement)
        return is_float and isinstance(example, int) and not isinstance(example, bool)
    return True


@pytest.mark.parametrize(("table", "name", "setting"), KEYS)
def test_a_value_of_another_type_is_refused_with_its_key(
    tmp_path: Path, table: str, name: str, setting: Setting
) -> None:
    wrong = [value for value in OF_EACH_TYPE if not is_accepted(setting, value)]
    assert len(wrong) >= 4
    for value in wrong:
        checked = loader.check_config_file(write(tmp_path, table, name, value))
        (problem,) = checked.problems
        key = f"filings.{FILING}.{name}" if table == "filings" else f"{table}.{name}"
        assert problem.key.startswith(key), (value, problem)
        with pytest.raises(ConfigError, match=re.escape(key)) as caught:
            checked.require_config()
        assert "Nothing was changed" in str(caught.value)


LIMITED = [
    parameter for parameter in KEYS if {"least", "most"} & parameter.values[2].value_type.requirement.fields.keys()
]  # type: ignore[union-attr]


def test_enough_settings_have_limits() -> None:
    assert len(LIMITED) >= 12


@pytest.mark.parametrize(("table", "name", "setting"), LIMITED)
@given(distance=st.floats(min_value=0.001, max_value=1e6), whole=st.integers(1, 10**6))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_beyond_its_bounds_is_refused_with_its_key(
    tmp_path: Path, table: str, name: str, setting: Setting, distance: float, whole: int
) -> None:
    limits = setting.value_type.requirement.fields
    beyond = [limits["least"] - distance, limits["least"] - whole] if "least" in limits else []
    beyond += [limits["most"] + distance, limits["most"] + whole] if "most" in limits else []
    for value in beyond:
        (problem,) = loader.check_config_file(write(tmp_path, table, name, value)).problems
        assert problem.key.endswith(name)
        assert problem.reason == setting.value_type.requirement


@pytest.mark.parametrize(("table", "name", "setting"), KEYS)
def test_only_values_of_a_choice_are_accepted(tmp_path: Path, table: str, name: str, setting: Setting) -> None:
    choices = re.findall(r'"([^"]+)"', str(setting.value_type.requirement))
    for value in choices:
        assert loader.check_config_file(write(tmp_path, table, name, value)).problems == ()
    if choices:
        assert loader.check_config_file(write(tmp_path, table, name, "nonsense")).problems


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "archiver.toml"
    path.write_text(
        'archive = 3\n[watch]\npath = "w"\nsetle_seconds = 3\nscan_minutes = 0\n'
        '[retention]\nyears = 2\n[filings.f]\nprofiles = ["x"]\n[filings.f.submissions]\ns = 1\n',
        "utf-8",
    )
    problems = {(problem.code, problem.key) for problem in loader.check_config_file(path).problems}
    assert problems == {
        ("not-a-table", "archive"),
        ("invalid-value", "archive.path"),
        ("unknown-setting", "watch.setle_seconds"),
        ("invalid-value", "watch.scan_minutes"),
        ("invalid-value", "retention.years"),
        ("invalid-value", "filings.f.profiles"),
        ("invalid-value", "filings.f.submissions.s"),
    }


@pytest.mark.usefixtures("every_group")
def test_a_new_file_shows_every_setting_as_it_may_be_written(tmp_path: Path) -> None:
    """Without the marks of its comments, all of it is in force."""
    path = tmp_path / "archiver.toml"
    text = template.render_config(Config(path, tmp_path / "a", tmp_path / "w"))
    path.write_text(re.sub(r"^#(?! )", "", text, flags=re.MULTILINE), "utf-8")
    checked = loader.check_config_file(path)
    assert checked.problems == ()
    names = {setting.key for setting in declared_settings(Config)}
    names |= {f"filings.NAME.{setting.key}" for setting in declared_settings(FilingSettings)}
    assert checked.keys_in_file == names


def test_every_key_has_a_table_with_a_subject() -> None:
    assert {setting.table for setting in declared_settings(Config)} | {"filings"} == TABLE_SUMMARIES.keys()
    for group in settings_by_table().values():
        keys = [setting.key for setting in group]
        assert len(keys) == len(set(keys)) > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_of_settings_is_that_of_the_table(page: Path) -> None:
    assert page.read_text("utf-8") == render(page), "python -m tests.support.settings_page"
