"""A newcomer's walk through the README: another user, an ASCII locale, no HOME, no git identity."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import CHECKOUT, SAMPLES

pytestmark = pytest.mark.needs("root", "mount", "setpriv", "git-lfs", "ssh-keygen")

USER = 65534  # nobody: ssh-keygen insists on a name
FILING, SUBMISSION = "星河听雨个性化推荐算法", "2026-03-首次备案"


class Newcomer:
    """Runs shell lines as an ordinary user in a poor environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.env = {
            "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": os.fspath(self.home),
            "LC_ALL": "C",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }

    def command(self, line: str) -> list[str]:
        who = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all"]
        return [*who, "bash", "-c", f"umask 077; {line}"]

    def run(self, line: str, cwd: Path, code: int = 0) -> str:
        done = subprocess.run(self.command(line), cwd=cwd, env=self.env, capture_output=True, timeout=200)
        out = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
        assert done.returncode == code, f"{line}\n{out}"
        assert "Traceback" not in out
        return out


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    root = Path(tempfile.mkdtemp())
    os.chmod(root, 0o755)
    (root / "home").mkdir(mode=0o555)
    (root / "other").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=100m,uid={USER},mode=700", "tmpfs", root / "other"], check=True
    )
    subprocess.run(["git", "clone", "-q", CHECKOUT, root / "checkout"], check=True, capture_output=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", root / "checkout"], check=True)
    yield Newcomer(root)
    subprocess.run(["umount", "-l", root / "other"], check=True)
    shutil.rmtree(root)


def blocks() -> list[list[str]]:
    """The README's console blocks, line by line."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```console\n(.*?)```", text, re.S)
    return [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in found]


def test_the_walk_works(newcomer: Newcomer) -> None:
    use, check, signature = blocks()
    here = newcomer.root / "checkout"
    newcomer.run("mkdir materials", here)
    assert use[-1].endswith("archiver run")
    for line in use[:-1]:
        newcomer.run(line, here)
    daemon = subprocess.Popen(
        newcomer.command(f"exec {use[-1]} --settle 0.5"), cwd=here, env=newcomer.env, stdout=subprocess.PIPE
    )
    try:
        shutil.copytree(SAMPLES / FILING, here / "materials" / FILING)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", here / "materials"], check=True)
        archiver = "venv/bin/archiver"
        deadline = time.monotonic() + 60
        while newcomer.run(f"{archiver} log --json", here).count('"tag"') < 3:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        name = f"{FILING}/{SUBMISSION}"
        newcomer.run(f"{archiver} submit {name} --on 2026-03-20 --receipt {archiver} --by 林听雨", here)
        assert "Retained through" in newcomer.run(f"{archiver} log", here)
        newcomer.run(f"{archiver} status", here)
        newcomer.run(f"{archiver} show {name}/v1", here)
        newcomer.run(f"{archiver} diff {name}/v1 {name}/submitted", here)
        newcomer.run(f"{archiver} explain {name}/v1:拟公示内容.pdf", here)
        newcomer.run(f"{archiver} restore {name}/submitted --to back", here)
        newcomer.run(f"{archiver} restore {FILING} --at 2099-01-01 --to all", here)
        newcomer.run(f"{archiver} dispose plan {name}/v1", here, code=4)
        newcomer.run("diff -r materials/* all", here)
        newcomer.run(f"{archiver} verify", here)
        newcomer.run(f"{archiver} audit --to inspection", here)
        newcomer.run(f"{archiver} audit --to inspection --zip", here)
        newcomer.run("cd inspection && sha256sum -c --quiet manifest-sha256.txt", here)
    finally:
        daemon.send_signal(signal.SIGINT)
        out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, out
    tag = f"{FILING}/{SUBMISSION}/submitted"
    lines = [line.replace("/path/to/archive", os.fspath(here / "archive")).replace("TAG", tag) for line in check]
    lines = [
        line.replace("推荐算法/2026-03-首次备案", f"{FILING}/{SUBMISSION}") if line.startswith("tag=") else line
        for line in lines
    ]
    verify_tag = signature[0].replace("/path/to/archive", os.fspath(here / "archive"))
    verify_tag = verify_tag.replace("推荐算法/2026-03-首次备案/submitted", tag)
    out = newcomer.run(" && ".join([*lines, verify_tag]), newcomer.root / "other")
    assert "Git LFS fsck OK" in out
    assert re.search(r"^([1-9]\d*) of \1 materials are here$", out, re.M)
    assert 'Good "git" signature' in out
    newcomer.run(f"diff -r {newcomer.root}/other/clone/materials {here}/materials/{FILING}/{SUBMISSION}", here)
    newcomer.run("venv/bin/archiver verify", here)
