from __future__ import annotations

import os
import subprocess

from tests.cli.test_bad_input import damage_index_inside
from tests.support.site import COMMAND, Site


def complete(site: Site, words: str) -> list[str]:
    env = {
        **os.environ,
        "_ARCHIVER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run([COMMAND], env=env, capture_output=True, text=True, cwd=site.root)
    assert done.stderr == ""
    return [line.split(",", 1)[1] for line in done.stdout.split()]


def test_filings_submissions_and_tags_are_completed(site: Site) -> None:
    site.write("推荐/首次/a", "1")
    site.write("生成/首次/a", "1")
    site.catch_up()
    assert complete(site, "archiver sh") == ["show"]
    assert complete(site, "archiver show 推荐/首") == ["推荐/首次", "推荐/首次/v1"]
    assert complete(site, "archiver log ") == [
        "推荐",
        "推荐/首次",
        "推荐/首次/v1",
        "生成",
        "生成/首次",
        "生成/首次/v1",
    ]


def test_without_an_archive_nothing_is_said(bare_site: Site) -> None:
    assert complete(bare_site, "archiver show x") == []


def test_a_damaged_page_of_the_index_shows_nothing(site: Site) -> None:
    site.write("推荐/首次/a", "1")
    site.catch_up()
    damage_index_inside(site, "submissions")
    assert complete(site, "archiver show 推荐/首") == []


def test_warnings_about_the_settings_stay_out_of_the_typed_line(site: Site) -> None:
    site.write("推荐/首次/a", "1")
    site.catch_up()
    site.configure(store={"local": "cache"})
    assert "[store] is no longer used" in site.run("log").stderr
    assert complete(site, "archiver log 推荐/首次/") == ["推荐/首次/v1"]
