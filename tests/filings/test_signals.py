"""What a file that is named as a signal may show, and what a link in its place does not."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from pathlib import Path

import pytest

from archiver.filings import change_detection
from archiver.store.events.filing_events import ReleaseSignalled
from archiver.store.writing.drafts import Draft
from tests.filings.test_filing_commands import filed
from tests.support.site import Site

SECRET = "root:$6$salt$digest:20000:0:99999:7:::\n"


def shown(path: Path) -> str | None:
    return change_detection._read_signal(os.fspath(path))


@pytest.mark.parametrize("word", ["1.4.2", "v2.0_rc-1+build.7", "模型二号", "a" * 60, "字" * 60])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nsecond line\n"])
def test_a_version_is_shown_beside_its_digest(tmp_path: Path, word: str, end: str) -> None:
    data = (word + end).encode()
    (tmp_path / "VERSION").write_bytes(data)
    assert shown(tmp_path / "VERSION") == f"{hashlib.sha256(data).hexdigest()} {word}"


@pytest.mark.parametrize(
    "data",
    [SECRET.encode(), b"two words", b"a" * 61, "字".encode() * 61, b"", b"\n1.0", b"\xff\xfe", b"a/b", b"x=1"],
)
def test_anything_else_is_a_digest_alone(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "VERSION").write_bytes(data)
    assert shown(tmp_path / "VERSION") == hashlib.sha256(data).hexdigest()


def test_only_the_folders_before_it_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "releases/7").mkdir(parents=True)
    (tmp_path / "releases/7/VERSION").write_text("7")
    (tmp_path / "current").symlink_to("releases/7")
    assert (shown(tmp_path / "current/VERSION") or "").endswith(" 7")
    (tmp_path / "VERSION").symlink_to("releases/7/VERSION")
    assert shown(tmp_path / "VERSION") is None


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    # Each would keep its reader waiting for ever.
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        assert shown(path) is None


def test_a_link_in_its_place_journals_nothing(site: Site) -> None:
    site.write("推荐/首次/a", "1")
    site.catch_up()
    site.run("submit", "推荐/首次", "--on", "2026-03-01")
    filed(site)
    secret, model = site.root / "shadow", site.root / "MODEL"
    secret.write_text(SECRET)
    model.write_text("1\n")
    site.configure(filings={"推荐": {"signals": [model]}})
    site.catch_up()
    model.unlink()
    model.symlink_to(secret)
    site.catch_up()
    assert site.json("change", "list") == [], "nobody knows what it says now"
    model.unlink()
    os.link(secret, model)
    site.catch_up()
    (question,) = site.json("change", "list")
    assert question["signal"] == str(model)
    with closing(site.open()) as archive:
        signals = list(archive.journal.events_since(None))
    assert "$6$" not in str([event.details for event in signals if event.action == "signal"])


def test_what_an_earlier_release_showed_of_a_file_is_no_change(site: Site) -> None:
    site.write("推荐/首次/a", "1")
    site.catch_up()
    site.run("submit", "推荐/首次", "--on", "2026-03-01")
    filed(site)
    model = site.root / "MODEL"
    model.write_text("release 1 of the model\n")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    with closing(site.open()) as archive, archive.writing(5) as writer:
        details = ReleaseSignalled(signal=str(model), value=f"{digest} release 1 of the model")
        writer.append(Draft("推荐", details))
    site.configure(filings={"推荐": {"signals": [model]}})
    site.catch_up()
    assert site.json("change", "list") == []
