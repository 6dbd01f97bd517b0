"""Fixtures, and what holds for every test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before the first import from there: their assertions show values too.
pytest.register_assert_rewrite("tests.support")

from tests.support.needs import find_trouble  # noqa: E402
from tests.support.other_user import is_open  # noqa: E402
from tests.support.site import Site, wait_until  # noqa: E402

#: A test with one of these starts the program; that is known without running it.
_FIXTURES_WITH_PROGRAMS = frozenset({"site", "bare_site"})

#: Of a parameter that stands in a test's id as it is.
LONGEST_VALUE = 60

#: How slowly data is generated says something of the machine, and nothing of the program.
_UNHURRIED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", print_blob=True, **_UNHURRIED)
#: For the long run of the stateful test: pytest --hypothesis-profile=long tests/intake/test_stateful.py
settings.register_profile("long", print_blob=True, max_examples=500, **_UNHURRIED)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--unit", action="store_true", help="Only tests that start no program: quick, and without root."
    )
    parser.addoption("--programs", action="store_true", help="Only the tests that --unit leaves out.")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what other users must read out of a TMPDIR that nobody but root gets to."""
    if config.getoption("unit"):
        sys.addaudithook(_refuse_programs)
    if os.geteuid() == 0 and not is_open(Path(tempfile.gettempdir())):
        os.environ["TMPDIR"] = "/var/tmp"
        tempfile.tempdir = None


# A shell ignores Ctrl-C for what a script starts with "&", and programs inherit that: tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _refuse_programs(event: str, _arguments: tuple[object, ...]) -> None:
    """Fail a test that starts a program and does not say so: it would make the unit tests slow, unnoticed."""
    if event in ("subprocess.Popen", "os.fork", "os.posix_spawn") and "PYTEST_CURRENT_TEST" in os.environ:
        pytest.fail('This test is no unit test: mark it with @pytest.mark.needs("processes").')


def _needs_a_program(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return bool(_FIXTURES_WITH_PROGRAMS.intersection(fixtures) or item.get_closest_marker("needs"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("unit") or config.getoption("programs"):
        with_programs = [item for item in items if _needs_a_program(item)]
        others = [item for item in items if not _needs_a_program(item)]
        items[:], left_out = (others, with_programs) if config.getoption("unit") else (with_programs, others)
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        for mark in item.iter_markers("needs"):
            reason = next((trouble for need in mark.args if (trouble := find_trouble(need))), None)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their argument; pytest adds a number, and later versions of it do so by themselves."""
    return argname if isinstance(val, str | bytes) and len(ascii(val)) > LONGEST_VALUE else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # A test that CI skips proves nothing.
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"


@pytest.fixture(autouse=True)
def _poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches a user's own settings or repositories."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "ARCHIVER_"))]:
        monkeypatch.delenv(name)
    # A command that ran inside of this process, in a test before, chose its language by it.
    monkeypatch.delenv("LANGUAGE", raising=False)
    # A thread that another test left behind may have set the process's mask.
    os.umask(0o022)
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "no-home"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site").init()


@pytest.fixture
def bare_site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def daemon(site: Site) -> Iterator[subprocess.Popen[str]]:
    """A running daemon with a short quiet period; it must end cleanly."""
    process = site.start("--settle", "0.3")
    wait_until(lambda: site.json("status")["daemon"])
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0, process.communicate()
    assert process.stdout is not None
    process.stdout.close()
