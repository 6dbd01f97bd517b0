"""A filesystem that cannot keep an archive is refused, by name and with the reason, and nothing is left on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from archiver.cli.main import main
from archiver.errors import StorageError
from archiver.replica.bucket import Bucket
from archiver.replica.rebuild import rebuild_archive
from archiver.store.creation import filesystem_abilities
from tests.cli.test_init import clone, entries, words
from tests.support.site import Site


class ExFat:
    """A volume as a USB disk is sold: through FUSE, since not every kernel has the module."""

    def __init__(self, point: Path) -> None:
        self.point = point
        point.mkdir(parents=True)
        image = point.with_suffix(".img")
        with open(image, "wb") as stream:
            stream.truncate(24 << 20)
        subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
        line = ["losetup", "--show", "--find", image]
        self._device = subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["mount.exfat-fuse", self._device, point], check=True, capture_output=True)

    def end(self) -> None:
        subprocess.run(["umount", "-l", self.point], check=True)
        subprocess.run(["losetup", "--detach", self._device], check=True)


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    volume = ExFat(tmp_path / "stick")
    try:
        yield volume.point
    finally:
        volume.end()


exfat = pytest.mark.needs("root", "exFAT")


@exfat
@pytest.mark.parametrize("below", ["", "archive", "a/b/c"], ids=["mount point", "folder", "deeper"])
def test_init_refuses_exfat_and_leaves_nothing(bare_site: Site, stick: Path, below: str) -> None:
    site = bare_site
    site.archive = stick / below
    before = entries(site.root)
    done = site.run(*words(site)[2:], code=8)
    assert f"{site.archive} is on fuseblk" in done.stderr
    assert "stores no permissions" in done.stderr
    assert os.listdir(stick) == []
    assert entries(site.root) == before
    site.archive = site.root / "archive"
    site.run(*words(site)[2:])


@exfat
def test_a_clone_on_exfat_is_not_adopted_and_stays_as_it_is(site: Site, stick: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    clone(site)
    for name in ("archive.git", "keys"):
        shutil.copytree(site.archive / name, stick / name, copy_function=shutil.copyfile)
    site.archive = stick
    before = entries(stick)
    assert "stores no permissions" in site.run(*words(site)[2:], "--adopt", code=8).stderr
    assert entries(stick) == before
    assert not site.config.exists()


@exfat
def test_nor_is_one_rebuilt_there_from_the_off_site_copy(stick: Path) -> None:
    """Before anything is asked of the bucket: there is none."""
    (stick / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(StorageError, match="stores no permissions"):
            rebuild_archive(cast(Bucket, None), stick / name, None, 1)
    assert entries(stick) == [f"empty {(stick / 'empty').stat().st_mode:o}"]


@exfat
def test_materials_on_exfat_are_archived_all_the_same(bare_site: Site, stick: Path) -> None:
    site = bare_site
    site.watch = stick
    site.run(*words(site)[2:])
    site.write("f/s/a", "1")
    site.catch_up()
    assert site.tags() == ["f/s/v1"]
    site.verified()


# --- other abilities that may be missing, as far as they can be taken away here


Call = Callable[..., Any]


def _silent(fchmod: Call) -> Call:
    """As on a share without permissions of its own: no error, and no change."""
    return lambda descriptor, mode: None if _is_tried(descriptor) else fchmod(descriptor, mode)


def _refusing(fchmod: Call) -> Call:
    def refuse(descriptor: int, mode: int) -> None:
        if _is_tried(descriptor):
            raise PermissionError(1, os.strerror(1))
        fchmod(descriptor, mode)

    return refuse


def _is_tried(descriptor: int) -> bool:
    return filesystem_abilities._TRIAL_NAME in os.readlink(f"/proc/self/fd/{descriptor}")


def _folding(stat: Call) -> Call:
    """As on a filesystem that takes upper and lower case for one."""

    def fold(path: Any, **more: Any) -> Any:
        return stat(path.with_name("Case") if isinstance(path, Path) and path.name == "case" else path, **more)

    return fold


def _strict(function: Call) -> Call:
    """As on a filesystem of Windows, which has characters that no name may have."""

    def refuse(path: Any, *arguments: Any, **more: Any) -> Any:
        if isinstance(path, Path) and "<" in path.name:
            raise OSError(22, os.strerror(22), path)
        return function(path, *arguments, **more)

    return refuse


@pytest.mark.parametrize(
    ("name", "instead", "said"),
    [
        ("fchmod", _silent, "stores no permissions"),
        ("fchmod", _refusing, "stores no permissions"),
        ("stat", _folding, "names that differ only in case"),
        ("open", _strict, "rejects some names"),
    ],
)
def test_what_is_missing_is_told(
    bare_site: Site,
    name: str,
    instead: Callable[[Call], Call],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = bare_site
    before = entries(site.root)
    with monkeypatch.context() as patched:
        patched.setattr(os, name, instead(getattr(os, name)))
        code = main(words(site))
    err = capsys.readouterr().err
    assert code == 8, err
    assert said in err
    assert entries(site.root) == before
    assert main(words(site)) == 0
