"""git in the hands of a careless user: refused, and nothing changed."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.conftest import Site


@pytest.fixture
def two(site: Site) -> Site:
    for text in ("one", "two"):
        site.write("f/s/a.txt", text)
        site.catch_up()
    return site


def refs(site: Site) -> str:
    return site.git("for-each-ref").stdout


ATTEMPTS = [
    ["tag", "-d", "f/s/v1"],
    ["tag", "-f", "f/s/v1", "f/s/v2"],
    ["branch", "-D", "filings/f/s"],
    ["branch", "-f", "filings/f/s", "f/s/v1"],
    ["update-ref", "-d", "refs/heads/filings/f/s"],
    ["update-ref", "-d", "refs/tags/f/s/v1"],
    ["update-ref", "refs/heads/filings/f/s", "f/s/v1^{commit}"],
    ["update-ref", "refs/heads/journal", "journal~1"],
    ["update-ref", "-d", "refs/heads/journal"],
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=" ".join)
def test_deleting_and_moving_back_are_refused(two: Site, attempt: list[str], packed: bool) -> None:
    if packed:
        two.git("pack-refs", "--all")
    before = refs(two)
    done = two.git(*attempt, check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr or "used by worktree" in done.stderr
    assert refs(two) == before
    two.verified()


def test_packing_refs_is_allowed(two: Site) -> None:
    before = refs(two)
    two.git("pack-refs", "--all", "--prune")
    assert (two.repository / "packed-refs").exists()
    assert not (two.repository / "refs/tags/f/s/v1").exists()
    assert refs(two) == before
    two.verified()
    two.write("f/s/a.txt", "three")
    two.catch_up()
    assert two.tags()[0] == "f/s/v3"
    two.verified()


@pytest.mark.parametrize(
    "refspec", [":refs/tags/f/s/v1", "+f/s/v1^{commit}:refs/heads/filings/f/s", "f/s/v1:refs/tags/x"]
)
def test_pushes_are_refused(two: Site, refspec: str) -> None:
    clone = two.root / "clone.git"
    subprocess.run(["git", "clone", "-q", "--mirror", two.repository, clone], check=True, capture_output=True)
    before = refs(two)
    done = subprocess.run(["git", "-C", clone, "push", two.repository, refspec], capture_output=True, text=True)
    assert done.returncode != 0
    assert refs(two) == before
    two.verified()


@pytest.mark.parametrize(
    "attempt", [["gc", "--prune=now"], ["prune", "--expire=now"], ["repack", "-a", "-d", "-q"]]
)
def test_nothing_is_pruned(two: Site, attempt: list[str]) -> None:
    two.git("hash-object", "-w", "--stdin", check=False)
    two.git(*attempt, check=False)
    two.verified()
    assert two.git("cat-file", "-t", "f/s/v1").stdout == "tag\n"


def test_a_refusal_by_the_hook_is_journalled_by_the_daemon(two: Site, daemon: subprocess.Popen[str]) -> None:
    from tests.conftest import wait_until

    two.git("tag", "-d", "f/s/v1", check=False)
    wait_until(lambda: "refuse git" in two.git("log", "--format=%s", "journal").stdout)
    assert not (two.archive / "spool" / "refused").exists()


def test_bypassing_every_hook_is_found(two: Site) -> None:
    two.git("-c", f"core.hooksPath={os.devnull}", "tag", "-d", "f/s/v1")
    assert {("A020", "refs/tags/f/s/v1")} == {(f["code"], f["object"]) for f in two.findings()}
