"""What ``status`` prints for people."""

from __future__ import annotations

from tests.support.site import Site


def test_a_problem_is_printed_once(site: Site) -> None:
    """With --check it stood on stdout as a warning, and on stderr again."""
    problem = "the service is not running"
    assert site.run("status").stdout.count(problem) == 1
    checked = site.run("status", "--check", code=9)
    assert (checked.stdout.count(problem), checked.stderr.count(problem)) == (0, 1)


def test_without_a_daemon_the_watched_folder_is_only_named(site: Site) -> None:
    """A watched folder that is "not watched" is a contradiction; the next line tells about the daemon."""
    lines = site.run("status").stdout.splitlines()
    assert f"Watched folder: {site.watch}" in lines
    assert lines[lines.index(f"Watched folder: {site.watch}") + 1] == "Service: not running"
    assert site.json("status")["watching_code"] == "watching.none"
