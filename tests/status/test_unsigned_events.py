"""What ``status`` says of the format, and of events that no signed head covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.site import Site
from tests.test_golden import unpacked

UNSIGNED = "the archive cannot be signed"


def status(site: Site) -> dict[str, Any]:
    answer: dict[str, Any] = site.json("status")
    return answer


def test_a_new_archive_is_of_format_2_and_signed(site: Site) -> None:
    assert (status(site)["format"], status(site)["unsigned_since"]) == (2, None)
    assert UNSIGNED not in site.run("status").stdout


@pytest.mark.parametrize("key", ["lost", "damaged", "of another archive"])
def test_the_journal_says_since_when_it_is_unsigned(site: Site, tmp_path: Path, key: str) -> None:
    """The databases may be made anew in between, and know nothing of it."""
    signing_key = site.archive / "keys/signing_key"
    kept = signing_key.read_bytes()
    if key == "lost":
        signing_key.unlink()
    elif key == "damaged":
        signing_key.write_bytes(b"damaged")
    else:
        other = Site(tmp_path / "other").init()
        signing_key.write_bytes((other.archive / "keys/signing_key").read_bytes())
    signed = len(site.events())
    for number in range(2):
        site.write("f/s/a", str(number))
        site.catch_up()
    since = site.events()[signed]["at"]
    assert status(site)["unsigned_since"] == since
    assert UNSIGNED in site.run("status", "--check", code=9).stderr
    for database in ("index.db", "state.db"):
        (site.archive / database).unlink()
        assert status(site)["unsigned_since"] == since
    # The next signed head covers all of it.
    signing_key.write_bytes(kept)
    signing_key.chmod(0o600)
    assert status(site)["unsigned_since"] == since
    site.run("checkpoint")
    assert status(site)["unsigned_since"] is None
    commits = site.check_journal()
    assert commits[-1].head is not None
    assert (commits[-1].head["first"], commits[-1].head["last"]) == (signed + 1, len(commits))
    site.verified()


def test_a_key_that_is_lost_is_told_before_anything_is_unsigned(site: Site) -> None:
    (site.archive / "keys/signing_key").unlink()
    assert status(site)["unsigned_since"] is not None
    assert UNSIGNED in site.run("status", "--check", code=9).stderr


@pytest.mark.needs("processes")
def test_an_archive_of_format_1_is_not_called_unsigned(tmp_path: Path) -> None:
    """None of its events has a signed head; what is to be done is to upgrade it."""
    golden = unpacked(tmp_path / "golden")
    assert (status(golden)["format"], status(golden)["unsigned_since"]) == (1, None)
    shown = golden.run("status").stdout
    assert UNSIGNED not in shown
    assert "the archive has format 1" in shown
    assert "archiver upgrade" in shown
    golden.run("upgrade")
    assert (status(golden)["format"], status(golden)["unsigned_since"]) == (2, None)
    assert "format 1" not in golden.run("status").stdout
