"""Checkpoints, and the line kept elsewhere that no holder of the archive can argue with."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UsageError
from archiver.verify.witness import Witness, find_contradicted_witnesses, parse_witness
from tests.support.site import Site, wait_until


def print_witness_line(site: Site) -> str:
    return site.run("checkpoint", "--print").stdout.strip()


@pytest.fixture
def filled(site: Site) -> Site:
    site.write("f/s/a", "1")
    site.catch_up()
    return site


@pytest.mark.needs("ssh-keygen")
def test_stock_git_accepts_a_checkpoint(filled: Site) -> None:
    site = filled
    line = print_witness_line(site)
    seq = line.split()[3]
    signers = site.archive / "keys" / "allowed_signers"
    ssh = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}"]
    tag = f"_checkpoints/{seq}"
    assert "Good" in site.git(*ssh, "verify-tag", tag).stderr
    text = site.git("cat-file", "-p", tag).stdout
    assert "refs-sha256" in text
    # What is signed can be computed with nothing of ours.
    journal_before = f"{site.git('rev-parse', 'journal~1').stdout.strip()} refs/heads/journal"
    refs = site.git("for-each-ref", "--format=%(objectname) %(refname)").stdout.splitlines()
    lines = sorted(
        [journal_before, *(r for r in refs if not r.endswith((tag, "/journal")))], key=lambda r: r[41:].encode()
    )
    digest = subprocess.run(
        ["sha256sum"], input="".join(f"{r}\n" for r in lines), capture_output=True, text=True, check=True
    )
    assert digest.stdout.split()[0] in text
    site.verified()


def test_the_line_proves_a_continuation(filled: Site) -> None:
    site = filled
    lines = [print_witness_line(site)]
    for number in range(3):
        site.write("f/s/a", f"more {number}")
        site.catch_up()
        lines.append(print_witness_line(site))
    since = [argument for line in lines for argument in ("--since", line)]
    assert "is unchanged" in site.run("verify", *since).stdout
    site.run("reindex")
    site.run("verify", *since)


def test_an_older_copy_in_the_archives_place_is_found(filled: Site) -> None:
    """A perfect archive, signed by the right key; only the line tells that it is last week's."""
    site = filled
    shutil.copytree(site.archive, site.root / "older", symlinks=True)
    site.write("f/s/secret", "2")
    site.catch_up()
    line = print_witness_line(site)
    shutil.rmtree(site.archive)
    os.rename(site.root / "older", site.archive)
    site.verified()
    [finding] = site.json("verify", "--since", line, code=5)["findings"]
    assert finding["code"] == "A046"
    assert "older copy" in finding["message"]


def test_a_history_written_anew_with_the_right_key_is_found(filled: Site) -> None:
    site = filled
    shutil.copytree(site.archive, site.root / "fork", symlinks=True)
    first = print_witness_line(site)
    site.write("f/s/a", "what was handed in")
    site.catch_up()
    second = print_witness_line(site)
    shutil.rmtree(site.archive)
    os.rename(site.root / "fork", site.archive)
    site.write("f/s/a", "what should have been handed in")
    site.catch_up()
    for _ in range(3):
        site.run("checkpoint")
    site.verified()
    findings = site.json("verify", "--since", first, "--since", second, code=5)["findings"]
    assert [f["code"] for f in findings] == ["A046", "A046"]
    assert "replaced" in findings[0]["message"]


def test_the_line_of_another_archive(filled: Site, tmp_path: os.PathLike[str]) -> None:
    other = Site(filled.root / "other").init()
    [finding] = filled.json("verify", "--since", print_witness_line(other), code=5)["findings"]
    assert "another archive" in finding["message"]


@pytest.mark.parametrize(
    "line", ["", "x", "archiver-witness 1 a b c d", "archiver-witness 2 " + "0" * 16 + " 1 " + "0" * 64 + " x"]
)
def test_what_is_no_line_is_refused(filled: Site, line: str) -> None:
    assert "not a witness line" in filled.run("verify", "--since", line, code=2).stderr


def test_a_line_that_was_wrapped_by_a_mail_program_is_read(filled: Site) -> None:
    words = print_witness_line(filled).split()
    filled.run("verify", "--since", "\n   ".join([" ".join(words[:3]), " ".join(words[3:])]) + "\n")


def test_the_line_as_a_picture(filled: Site) -> None:
    for name, head in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        filled.run("checkpoint", "--print", "--qr", filled.root / name)
        assert (filled.root / name).read_bytes().startswith(head)
    filled.run("checkpoint", "--qr", "a.txt", code=2)
    filled.run("checkpoint", "--qr", filled.root / "none" / "a.png", code=8)


def test_each_handing_in_is_followed_by_a_checkpoint(filled: Site) -> None:
    filled.run("submit", "f/s", "--on", "2026-03-20")
    actions = [line.split()[1] for line in filled.git("log", "--format=%s", "-2", "journal").stdout.splitlines()]
    assert actions == ["checkpoint", "submit"]
    filled.verified()


def test_the_daemon_makes_one_where_none_is_and_no_more_that_day(filled: Site) -> None:
    filled.set("watch", "scan_minutes", 0.01)
    daemon = filled.start("--settle", "0.2")

    def checkpoint_tags() -> list[str]:
        return [t for t in filled.git("tag", "-l").stdout.split() if t.startswith("_checkpoints/")]

    wait_until(checkpoint_tags)
    filled.write("f/s/a", "2")
    wait_until(lambda: "f/s/v2" in filled.tags())
    daemon.terminate()
    assert daemon.wait(timeout=10) == 0
    assert daemon.stdout is not None
    daemon.stdout.close()
    assert len(checkpoint_tags()) == 1
    filled.verified()


def test_a_filing_may_be_called_like_the_checkpoints(site: Site) -> None:
    site.write("_checkpoints/4/a", "1")
    site.catch_up()
    site.run("checkpoint")
    site.write("_checkpoints/4/a", "2")
    site.catch_up()
    assert site.tags() == ["%5Fcheckpoints/4/v2", "%5Fcheckpoints/4/v1"]
    site.verified()


digests = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), min_size=1, max_size=30, unique=True)


@given(digests, st.data())
def test_a_line_fits_its_own_history_and_every_continuation_and_nothing_else(
    chain: list[str], data: st.DataObject
) -> None:
    seq = data.draw(st.integers(1, len(chain)))
    line = Witness(chain[0][:16], seq, chain[seq - 1], "2026-01-01T00:00:00.000000Z")
    assert parse_witness(str(line)) == line
    later_events = data.draw(digests)
    assert list(find_contradicted_witnesses([line], chain + later_events)) == []
    assert len(list(find_contradicted_witnesses([line], chain[: seq - 1]))) == 1
    changed = [*chain[: seq - 1], "f" * 64, *chain[seq:]]
    if chain[seq - 1] != "f" * 64:
        assert len(list(find_contradicted_witnesses([line], changed))) == 1


@given(st.text(max_size=120))
def test_any_other_text_is_refused_and_raises_nothing_else(text: str) -> None:
    try:
        parse_witness(text)
    except UsageError:
        return
    raise AssertionError(text)
