from __future__ import annotations

import os
from pathlib import Path

import pytest

from archiver.config import loader, settings, template
from archiver.errors import ConfigError
from tests.support.site import Site

BASE = '[archive]\npath = "a"\n[watch]\npath = "w"\n'


def load(tmp_path: Path, text: str) -> settings.Config:
    file = tmp_path / "archiver.toml"
    file.write_text(text, encoding="utf-8")
    return loader.load_config(file)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, BASE)
    assert (settings.archive, settings.watch) == (tmp_path / "a", tmp_path / "w")
    assert settings.retention_years == 3
    assert settings.settle_seconds == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[archive]\npath = 3\n[watch]\npath = 'w'", "archive.path"),
        ("[watch]\npath = 'w'", "archive.path"),
        (BASE + "setle_seconds = 3", "watch.settle_seconds"),
        (BASE + "[retension]\nyears = 3", "retention"),
        (BASE + "settle_seconds = 'x'", "settle_seconds"),
        (BASE + "settle_seconds = -1", "settle_seconds"),
        (BASE + "settle_seconds = nan", "settle_seconds"),
        (BASE + "scan_minutes = true", "scan_minutes"),
        (BASE + "ignore = 'x'", "watch.ignore"),
        (BASE + "ignore = [3]", "watch.ignore"),
        (BASE + "layout = '{x}'", "watch.layout"),
        (BASE + "[retention]\nyears = 2", "at least 3"),
        (BASE + "[retention]\nyears = -3", "at least 3"),
        (BASE + "[retention]\nyears = 3.5", "whole number"),
        (BASE + "[retention]\nyears = nan", "whole number"),
        (BASE + "[retention]\nyears = '3'", "whole number"),
        (BASE + "[retention]\nyears = true", "whole number"),
        (BASE + "[retention]\nyears = 999999", "whole number"),
        (BASE + "[replica]\ngrace_hours = -1", "must be a number from 0 to 168"),
        (BASE + "[replica]\ngrace_hours = 169", "must be a number from 0 to 168"),
        (BASE + "[replica]\ngrace_hours = 'a day'", "must be a number from 0 to 168"),
        (BASE + "[retention]\ntimezone = 'Mars/Olympus'", "timezone"),
        (BASE + "[retention]\ntimezone = '../etc'", "timezone"),
        (BASE + "[retention]\nhold_while_live = 1", "hold_while_live"),
        (BASE + "archive = ", "not valid TOML"),
        ("archive = 3\n", "table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "Nothing was changed" in str(caught.value)


@pytest.mark.parametrize(("archive", "watch"), [("w/a", "w"), ("a", "a/w"), ("x", "x")])
def test_archive_and_watched_folder_do_not_nest(tmp_path: Path, archive: str, watch: str) -> None:
    with pytest.raises(ConfigError, match="one contains the other"):
        load(tmp_path, f'[archive]\npath = "{archive}"\n[watch]\npath = "{watch}"\n')


def test_nesting_through_a_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "w")
    with pytest.raises(ConfigError, match="one contains the other"):
        load(tmp_path, '[archive]\npath = "link/a"\n[watch]\npath = "w"\n')


def test_what_is_rendered_is_read_back(tmp_path: Path) -> None:
    given = settings.Config(
        tmp_path / "archiver.toml",
        tmp_path / '档案"\\库',
        tmp_path / "监控\n",
        retention_years=7,
        layout="{filing}",
    )
    assert load(tmp_path, template.render_config(given)) == given


def test_a_folder_name_that_toml_cannot_hold_is_refused(tmp_path: Path) -> None:
    given = settings.Config(tmp_path / "c", tmp_path / os.fsdecode(b"\xb1\xb8"), tmp_path / "w")
    with pytest.raises(ConfigError, match="not UTF-8"):
        template.render_config(given)


def test_a_table_that_was_removed_is_a_warning(site: Site) -> None:
    """It says what to do, and nothing else changes: the archive must not stand still for it."""
    text = site.config.read_text("utf-8")
    site.config.write_text(f'{text}\n[store]\nlocal = "cache"\ncache_gb = 100\n', "utf-8")
    done = site.run("log")
    assert done.stderr.count("\n") == 1
    assert f"{site.config}: [store] is no longer used" in done.stderr
    assert "archiver replica restore" in done.stderr
    site.write("f/s/a", "1")
    assert "[store] is no longer used" in site.catch_up().stderr
    assert site.tags() == ["f/s/v1"]
    site.config.write_text(f"{text}\n[stores]\n", "utf-8")
    site.run("log", code=3)
