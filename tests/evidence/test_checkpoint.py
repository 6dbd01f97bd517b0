"""Checkpoints, and the line kept elsewhere that no holder of the archive can argue with."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UsageError
from archiver.verify.witness import Witness, find_contradicted_witnesses, parse_witness
from tests.support.journal_model import read_journal
from tests.support.site import Site, wait_until


def print_witness_line(site: Site) -> str:
    return site.run("checkpoint", "--print").stdout.strip()


@pytest.fixture
def filled(site: Site) -> Site:
    site.write("f/s/a", "1")
    site.catch_up()
    return site


@pytest.mark.needs("ssh-keygen")
def test_a_stranger_checks_a_line_with_stock_tools(filled: Site) -> None:
    """With git, ssh-keygen and sha256sum; nothing of ours."""
    site = filled
    _, version, archive_id, seq, digest, _ = print_witness_line(site).split()
    assert version == "2"
    commits = site.git("rev-list", "--reverse", "--first-parent", "journal").stdout.split()
    assert int(seq) == len(commits)
    head = read_blob(site, f"{commits[-1]}:head.json")
    assert sha256sum(head) == digest
    (site.root / "head.sig").write_bytes(read_blob(site, f"{commits[-1]}:head.sig"))
    signers = site.archive / "keys" / "allowed_signers"
    verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "archiver@localhost", "-n", "archiver-head"]
    done = subprocess.run([*verify, "-s", "head.sig"], cwd=site.root, input=head, capture_output=True)
    assert b"Good" in done.stdout, done.stderr
    # What is signed can be computed from the events alone.
    events = [read_blob(site, f"{commit}:event.json") for commit in commits]
    newest_by_chain = {}
    for event in events:
        members = json.loads(event)
        newest_by_chain[members["chain"]] = f'["{members["chain"]}",{members["n"]},"sha256:{sha256sum(event)}"]\n'
    stated = json.loads(head)
    assert stated["chain_heads"] == "sha256:" + sha256sum("".join(sorted(newest_by_chain.values())).encode())
    assert stated["chains"] == len(newest_by_chain)
    assert (stated["event"], stated["last"]) == (f"sha256:{sha256sum(events[-1])}", len(events))
    assert stated["archive"] == f"sha256:{sha256sum(events[0])}"
    assert archive_id == sha256sum(events[0])[:16]
    site.verified()


def read_blob(site: Site, name: str) -> bytes:
    git = ["git", f"--git-dir={site.repository}", "cat-file", "blob", name]
    return subprocess.run(git, capture_output=True, check=True).stdout


def sha256sum(data: bytes) -> str:
    return subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.decode().split()[0]


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
    "line",
    [
        *("", "x", "archiver-witness 1 a b c d"),
        *(f"archiver-witness {version} {'0' * 16} 1 {'0' * 64} x" for version in (1, 2)),
        # Of a release that is not there yet.
        f"archiver-witness 3 {'0' * 16} 1 {'0' * 64} 2026-01-01T00:00:00.000000Z",
    ],
)
def test_what_is_no_line_is_refused(filled: Site, line: str) -> None:
    assert "not a witness line" in filled.run("verify", "--since", line, code=2).stderr


def test_a_line_of_format_1_names_an_event_and_is_still_checked(filled: Site) -> None:
    first, *_, newest = read_journal(filled.repository)
    for commit in (first, newest):
        line = Witness(first.digest[7:23], commit.event["seq"], commit.digest[7:], newest.event["at"], version=1)
        filled.run("verify", "--since", line)
        # A head is not an event: the number in front of the line says which of them is meant.
        other = dataclasses.replace(line, version=2)
        [finding] = filled.json("verify", "--since", other, code=5)["findings"]
        assert (finding["code"], "was replaced" in finding["message"]) == ("A046", True)


def test_a_line_names_the_head_and_not_the_event(filled: Site) -> None:
    """The head says more: how many events there are, of how many chains."""
    line = parse_witness(print_witness_line(filled))
    newest = read_journal(filled.repository)[-1]
    assert line.sha256 != newest.digest[7:]
    assert line.seq == newest.event["seq"]
    [finding] = filled.json("verify", "--since", dataclasses.replace(line, version=1), code=5)["findings"]
    assert finding["code"] == "A046"


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

    wait_until(lambda: filled.events("checkpoint"))
    filled.write("f/s/a", "2")
    wait_until(lambda: "f/s/v2" in filled.tags())
    daemon.terminate()
    assert daemon.wait(timeout=10) == 0
    assert daemon.stdout is not None
    daemon.stdout.close()
    assert len(filled.events("checkpoint")) == 1
    assert filled.git("tag", "-l", "_checkpoints/*").stdout == ""
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


@pytest.mark.parametrize("version", [1, 2])
@given(digests, st.data())
def test_a_line_fits_its_own_history_and_every_continuation_and_nothing_else(
    version: int, chain: list[str], data: st.DataObject
) -> None:
    # Events, and the heads of some of them: a batch has one.
    heads = {number: digest[::-1] for number, digest in enumerate(chain, 1) if data.draw(st.booleans())}
    seq = data.draw(st.integers(1, len(chain)))
    heads[seq] = chain[seq - 1][::-1]
    covered = chain[seq - 1] if version == 1 else heads[seq]
    line = Witness(chain[0][:16], seq, covered, "2026-01-01T00:00:00.000000Z", version)
    assert parse_witness(str(line)) == line
    later_events = data.draw(digests)
    later_heads = {len(chain) + number: digest for number, digest in enumerate(later_events, 1)}
    assert list(find_contradicted_witnesses([line], chain + later_events, heads | later_heads)) == []
    assert len(list(find_contradicted_witnesses([line], chain[: seq - 1], heads))) == 1
    changed_events, changed_heads = [*chain[: seq - 1], "f" * 64, *chain[seq:]], heads | {seq: "f" * 64}
    if covered != "f" * 64:
        assert len(list(find_contradicted_witnesses([line], changed_events, changed_heads))) == 1
    # A journal whose events fit, and which nobody signed at this place.
    heads.pop(seq)
    assert len(list(find_contradicted_witnesses([line], chain, heads))) == version - 1


@given(st.text(max_size=120))
def test_any_other_text_is_refused_and_raises_nothing_else(text: str) -> None:
    try:
        parse_witness(text)
    except UsageError:
        return
    raise AssertionError(text)
