"""scripts/prepare.sh, what make calls first; a shell script plays Python, so that nothing is fetched.

``make test-platforms`` tries it with the real ones, on fresh systems.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.other_user import become_user
from tests.support.site import CHECKOUT, open_the_way

#: Answers what prepare.sh asks of a Python; "calls" beside it notes what changes something.
PYTHON = r"""#!/bin/sh
here=$(dirname "$0")
case "$*" in
*_base_executable*) echo "${FAKE_BASE:-$0}" ;;
*version_info?\<*) [ ! -e "$FAKE/is-old" ] ;;
*import?ensurepip*) [ ! -e "$FAKE/lacks-ensurepip" ] ;;
*-venv*) echo python3.99-venv ;;
*base_prefix*) cat "$FAKE/version" ;;
"-m venv "*)
    echo venv >>"$FAKE/calls"
    mkdir -p "$3/bin" "$3/lib"
    cp "$FAKE/python3" "$3/bin/python"
    ;;
"-m pip --version") [ -e "$here/../lib" ] ;;
"-m pip install "*)
    echo "install $*" | grep -o '[^ ]*$' >>"$FAKE/calls"
    [ ! -e "$FAKE/is-offline" ]
    ;;
*) exit 99 ;;
esac
"""


class Checkout:
    """A checkout with nothing in it but prepare.sh, and the tools that it finds."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a checkout"
        self.tools = root / "tools"
        self.environment = self.root / ".venv"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(CHECKOUT / "scripts" / "prepare.sh", self.root / "scripts")
        (self.root / "setup.cfg").touch()
        # Older than anything that is made afterwards, on filesystems with coarse times too.
        os.utime(self.root / "setup.cfg", (1, 1))
        self.tools.mkdir()
        self.tool("python3", PYTHON)
        (self.tools / "version").write_text("3.99")

    def tool(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def prepare(self, *arguments: str, as_user: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FAKE": os.fspath(self.tools), "PYTHON": "python3", **more}
        environment["PATH"] = f"{self.tools}:{os.environ['PATH']}"
        command = ["sh", os.fspath(self.root / "scripts" / "prepare.sh"), *arguments]
        if as_user:
            command = [*become_user(65534), *command]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=self.tools)

    def calls(self) -> list[str]:
        """What was called since the last time."""
        notes = self.tools / "calls"
        lines = notes.read_text().split() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.needs("processes")
def test_the_second_time_nothing_is_made_or_installed(checkout: Checkout) -> None:
    done = checkout.prepare()
    assert done.returncode == 0, done.stderr
    assert checkout.calls() == ["venv", "."]
    again = checkout.prepare()
    assert (again.returncode, again.stderr, checkout.calls()) == (0, "", [])


@pytest.mark.needs("processes")
def test_what_developers_need_serves_everybody(checkout: Checkout) -> None:
    checkout.prepare("dev")
    assert checkout.calls() == ["venv", ".[dev]"]
    checkout.prepare()
    assert checkout.calls() == []


@pytest.mark.needs("processes")
def test_other_settings_are_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.prepare("dev")
    checkout.calls()
    later = (checkout.environment / "installed-dev").stat().st_mtime + 5
    os.utime(checkout.root / "setup.cfg", (later, later))
    checkout.prepare("dev")
    assert checkout.calls() == [".[dev]"]


def half_made(checkout: Checkout) -> None:
    """What "python3 -m venv" leaves where Debian's python3-venv is missing."""
    shutil.rmtree(checkout.environment / "lib")


def moved(checkout: Checkout) -> None:
    """The scripts in .venv/bin begin with the path that was."""
    checkout.root = checkout.root.rename(checkout.root.with_name("elsewhere"))
    checkout.environment = checkout.root / ".venv"


def other_python(checkout: Checkout) -> None:
    """The distribution was upgraded."""
    (checkout.tools / "version").write_text("3.100")


def interrupted(checkout: Checkout) -> None:
    (checkout.environment / "made-for").unlink()


def without_python(checkout: Checkout) -> None:
    (checkout.environment / "bin" / "python").unlink()


@pytest.mark.needs("processes")
@pytest.mark.parametrize("damage", [half_made, moved, other_python, interrupted, without_python])
def test_an_environment_that_is_not_whole_is_made_anew(checkout: Checkout, damage: object) -> None:
    checkout.prepare()
    checkout.calls()
    assert callable(damage)
    damage(checkout)
    done = checkout.prepare()
    assert done.returncode == 0, done.stderr
    assert checkout.calls() == ["venv", "."]


@pytest.mark.needs("processes")
def test_an_active_environment_is_not_its_own_base(checkout: Checkout) -> None:
    """With .venv/bin first in PATH python3 is the environment's; it must not be removed under its own feet."""
    checkout.prepare()
    half_made(checkout)
    checkout.calls()
    inside = f"{checkout.environment}/bin/python"
    done = checkout.prepare(PYTHON=inside, FAKE_BASE=f"{checkout.tools}/python3")
    assert done.returncode == 0, done.stderr
    assert checkout.calls() == ["venv", "."]


@pytest.mark.needs("processes")
def test_a_python_that_is_too_old_is_named(checkout: Checkout) -> None:
    (checkout.tools / "is-old").touch()
    done = checkout.prepare()
    assert done.returncode == 1
    assert "older than Python 3.11" in done.stderr
    assert "make PYTHON=" in done.stderr


@pytest.mark.needs("processes")
def test_a_python_that_does_not_run_is_named(checkout: Checkout) -> None:
    done = checkout.prepare(PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert done.stderr.startswith("/nowhere/python3 does not run.")


@pytest.mark.needs("processes")
def test_what_pip_could_not_install_is_tried_again(checkout: Checkout) -> None:
    (checkout.tools / "is-offline").touch()
    done = checkout.prepare()
    assert done.returncode == 1
    assert "pip could not install" in done.stderr
    (checkout.tools / "is-offline").unlink()
    assert checkout.prepare().returncode == 0
    assert checkout.calls() == ["venv", ".", "."]


@pytest.mark.needs("root", "another user")
def test_an_ordinary_user_reads_which_package_is_missing(checkout: Checkout) -> None:
    open_the_way(checkout.root)
    open_the_way(checkout.tools)
    os.chown(checkout.root, 65534, 65534)
    (checkout.tools / "lacks-ensurepip").touch()
    done = checkout.prepare(as_user=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "As root, run: apt-get install python3-venv" in done.stderr
    assert not checkout.environment.exists()
    other = checkout.prepare(as_user=True, PYTHON=f"{checkout.tools}/python3")
    assert "apt-get install python3.99-venv" in other.stderr


@pytest.mark.needs("root")
def test_root_gets_what_is_missing(checkout: Checkout) -> None:
    (checkout.tools / "lacks-ensurepip").touch()
    checkout.tool("apt-get", '#!/bin/sh\necho "$*" >>"$FAKE/apt"\n')
    done = checkout.prepare()
    assert done.returncode == 0, done.stderr
    lines = (checkout.tools / "apt").read_text().splitlines()
    assert lines == ["update -q", "install -y -q --no-install-recommends python3-venv"]


@pytest.mark.needs("root")
def test_root_reads_what_could_not_be_installed(checkout: Checkout) -> None:
    (checkout.tools / "lacks-ensurepip").touch()
    checkout.tool("apt-get", "#!/bin/sh\necho no network >&2\nexit 100\n")
    done = checkout.prepare()
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert "apt-get could not install python3-venv" in done.stderr
    assert not checkout.environment.exists()


@pytest.mark.needs("root", "another user")
def test_another_users_environment_is_left_alone(checkout: Checkout) -> None:
    checkout.prepare()
    open_the_way(checkout.root)
    open_the_way(checkout.tools)
    # As it is, it serves everybody who may read it.
    assert checkout.prepare(as_user=True).returncode == 0
    half_made(checkout)
    done = checkout.prepare(as_user=True)
    assert done.returncode == 1
    assert "belongs to another user" in done.stderr
    assert f"rm -rf '{checkout.environment}'" in done.stderr
    assert checkout.environment.exists()
