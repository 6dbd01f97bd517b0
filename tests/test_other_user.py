"""A command of another user gets to what it needs below a folder that lets nobody through, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.other_user import become_user
from tests.support.site import open_the_way


@pytest.mark.needs("root", "another user")
def test_another_user_gets_to_what_is_needed_and_nowhere_else(tmp_path: Path) -> None:
    open_the_way(tmp_path)
    closed = tmp_path / "it's closed"
    needed = [closed / "some where/python", closed / "checkout"]
    for folder in (*needed, closed / "other"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("read\n")
    for folder in (closed, closed / "some where"):
        folder.chmod(0o700)
    read = ["cat", needed[0] / "file", needed[1] / "file", "file"]
    done = subprocess.run(
        [*become_user(65533, needed=[*needed, needed[1] / ".venv"]), *read], cwd=needed[1], capture_output=True
    )
    assert (done.returncode, done.stdout) == (0, b"read\n" * 3), done.stderr
    for user in (become_user(65533, needed=needed), become_user(65533, needed=[])):
        assert subprocess.run([*user, "cat", closed / "other/file"], capture_output=True).returncode == 1
    # Nothing is left of it, and nobody else saw it.
    assert "closed" not in Path("/proc/self/mountinfo").read_text()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_where_the_way_is_open_nothing_is_covered() -> None:
    assert become_user(65533, 65532, needed=[Path("/usr/bin")])[0] == "setpriv"
