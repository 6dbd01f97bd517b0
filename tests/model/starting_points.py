"""The archives with which runs begin: a new one, and the golden one of an earlier release."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from tests.model.commands import run_command
from tests.model.settings_file import ConfiguredRetention
from tests.model.simulated_clocks import SimulatedClocks
from tests.model.world import FolderFiles, World

GOLDEN_ARCHIVE = Path(__file__).parent.parent / "golden" / "archive.tar.gz"
_BEGIN = datetime(2026, 3, 2, 1, tzinfo=UTC)
#: What the golden run writes to: the folders of these submissions are there, or were once.
GOLDEN_SUBMISSIONS = ("推荐/首次", "推荐/补正", "退役/首次", "甲/首次")
_MEMORY = Path("/dev/shm")
#: A run takes a few megabytes with its backups; containers often have 64 MB there, which other tests may use.
_NEEDED_BYTES = 1 << 30
#: The retention profiles in the settings at `init`, by scope.
NEW_PROFILES = {"丙": "sec-17a4"}
NEW_SUBMISSIONS = ("甲/首次", "甲/_common", "乙/首次", "乙/补正", "丙/s")


@cache
def work_folder() -> Path:
    """Return this process's folder for archives, always the same, as an archive names its watched folder.

    Of the time of a run on a disk, half is spent waiting for files to be removed.
    """
    is_in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES
    folder = Path(tempfile.mkdtemp(prefix="archiver-model-", dir=_MEMORY if is_in_memory else None))
    (folder / "template").mkdir()
    return folder


def remove_work_folder() -> None:
    shutil.rmtree(work_folder(), ignore_errors=True)
    work_folder.cache_clear()


def _replace_folder(name: str) -> Path:
    """Return an empty folder for the archive of one run."""
    root = work_folder() / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    return root


@cache
def _new_archive(folder: Path) -> Path:
    """Make a new archive once, to be copied for each run."""
    root = _replace_folder("run")
    (root / "materials").mkdir()
    ConfiguredRetention(dict(NEW_PROFILES)).write(root)
    with SimulatedClocks(_BEGIN).installed():
        run_command(
            root, "init", "--archive", os.fspath(root / "archive"), "--watch", os.fspath(root / "materials")
        )
    return Path(shutil.move(root, folder / "template" / "new"))


def begin_new(clocks: SimulatedClocks | None = None) -> World:
    """Begin with a new archive, and an empty watched folder."""
    template = _new_archive(work_folder())
    root = _replace_folder("run")
    shutil.copytree(template, root, symlinks=True, dirs_exist_ok=True)
    world = World(root, clocks or SimulatedClocks(_BEGIN + timedelta(hours=1)))
    # On the same boot as the archive's first events, an hour later.
    world.clocks.since_boot += timedelta(hours=1)
    world.settings.profiles |= NEW_PROFILES
    world.state = world.read_state()
    assert world.state.years_by_scope == world.settings.years_by_scope, "`init` has not accepted its settings"
    return world


def begin_golden() -> World:
    """Begin with the golden archive, of format 1, and its watched folder."""
    root = _replace_folder("run")
    subprocess.run(["tar", "-C", root, "-xpzf", GOLDEN_ARCHIVE, "--no-same-owner"], check=True)
    world = World(root, SimulatedClocks(_BEGIN, boot_number=7))
    world.state = world.read_state()
    for submission in GOLDEN_SUBMISSIONS:
        folder = world.folder_of(submission)
        world.folder[submission] = _read_folder(folder)
    return world


def _read_folder(folder: Path) -> FolderFiles:
    """Return the files and the empty folders in a folder of the golden run, without what is never captured."""
    files: FolderFiles = {}
    for path in folder.rglob("*"):
        name = os.fspath(path.relative_to(folder))
        if path.is_dir() and not any(path.iterdir()):
            files[name] = None
        elif path.is_file() and not path.is_symlink() and not path.name.startswith("~$"):
            files[name] = path.read_bytes()
    return files
