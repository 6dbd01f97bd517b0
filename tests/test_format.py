"""docs/format.md is enough to read an archive without the program."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from archiver.store import names
from archiver.store.git import hooks
from tests.support.site import CHECKOUT, UNGUARDED, Site, tree
from tests.test_golden import FACTS, unpacked

PAGE = (CHECKOUT / "docs/format.md").read_text("utf-8")


def read_by_the_page(site: Site, tag: str, target: Path) -> list[str]:
    """Run the script of the page; return the events that it printed, as number, action and object."""
    script = target.with_suffix(".py")
    script.write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], "utf-8")
    done = subprocess.run(
        [sys.executable, "-I", script, site.repository, tag, target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    events = (line.split(" ", 2) for line in done.stdout.splitlines())
    return [f"{number} {act}" for number, _, act in events]


def digests(folder: Path) -> dict[str, str]:
    """Return each file's SHA-256 by its name as the program shows it."""
    return {
        names.name_as_text(path): hashlib.sha256(content).hexdigest()
        for path, (content, _) in tree(folder).items()
        if content is not None
    }


# Names that trees encode, names that refs encode byte for byte, and a version that follows two others.
@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    "tag", ["Search%20engine/first%20filing/v1", "%B1%B8%B0%B8/%CA%D7%B4%CE/v1", "推荐/首次/v3"]
)
def test_its_script_reads_an_archive_of_an_earlier_release(tmp_path: Path, tag: str) -> None:
    read = tmp_path / "read"
    assert read_by_the_page(unpacked(tmp_path / "golden"), tag, read) == FACTS["events"]
    said = {item["path"]: item["sha256"] for item in FACTS["show"][tag]["materials"]}
    assert digests(read / "materials") == said


def test_its_script_reads_an_archive_of_today(site: Site, tmp_path: Path) -> None:
    site.write("备案/首次/.git/config", "a name that is git's own")
    site.write("备案/首次/100%25", "looks encoded")
    site.catch_up()
    read_by_the_page(site, "备案/首次/v1", tmp_path / "read")
    assert digests(tmp_path / "read/materials") == digests(site.watch / "备案/首次")


def test_its_script_names_a_ref_that_was_moved(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    # A ref that is not where its event put it, past the guard.
    site.git(*UNGUARDED, "update-ref", "refs/tags/f/s/v1", "refs/heads/journal")
    with pytest.raises(AssertionError, match="refs/tags/f/s/v1 is not where the journal put it"):
        read_by_the_page(site, "f/s/v1", tmp_path / "read")


def test_it_shows_the_settings_that_are_written() -> None:
    assert f"```\n{hooks.CONFIG}```\n" in PAGE
