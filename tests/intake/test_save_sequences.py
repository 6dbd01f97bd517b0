"""How programs save: through temporary files, renames, pauses and reopening.  One save, one version."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.site import Site, wait_until

QUIET = 1.0


def word(folder: Path, name: str, data: bytes) -> None:
    """Word, WPS: lock file, new content beside it, old one away, new one in place."""
    (folder / f"~${name[2:]}").write_bytes(b"lock")
    (folder / "~WRD0001.tmp").write_bytes(data)
    os.rename(folder / name, folder / "~WRL0002.tmp")
    os.rename(folder / "~WRD0001.tmp", folder / name)
    (folder / "~WRL0002.tmp").unlink()
    (folder / f"~${name[2:]}").unlink()


def excel(folder: Path, name: str, data: bytes) -> None:
    """Excel: a file of eight hex digits without a suffix, written in steps, then renamed over."""
    with open(folder / "7A1C4E00", "wb") as stream:
        for start in range(0, len(data), 100):
            stream.write(data[start : start + 100])
            stream.flush()
            time.sleep(0.05)
    os.replace(folder / "7A1C4E00", folder / name)


def libreoffice(folder: Path, name: str, data: bytes) -> None:
    """LibreOffice: a lock, then the file itself is truncated and written anew."""
    (folder / f".~lock.{name}#").write_bytes(b",li,host;")
    with open(folder / name, "wb") as stream:
        stream.write(data[: len(data) // 2])
        stream.flush()
        time.sleep(0.4)
        stream.write(data[len(data) // 2 :])
    (folder / f".~lock.{name}#").unlink()


def scanner(folder: Path, name: str, data: bytes) -> None:
    """A scanner: page after page, closing and opening the file again in between."""
    (folder / name).write_bytes(b"")
    for start in range(0, len(data), max(len(data) // 4, 1)):
        with open(folder / name, "ab") as stream:
            stream.write(data[start : start + max(len(data) // 4, 1)])
        time.sleep(0.6 * QUIET)


def browser(folder: Path, name: str, data: bytes) -> None:
    """A download: a partial name for longer than the quiet period, then the real one."""
    with open(folder / f"{name}.crdownload", "wb") as stream:
        stream.write(data[:10])
        stream.flush()
        time.sleep(1.5 * QUIET)
        stream.write(data[10:])
    os.replace(folder / f"{name}.crdownload", folder / name)


def rsync(folder: Path, name: str, data: bytes) -> None:
    source = folder.parent.parent.parent / "rsync-source"
    source.mkdir(exist_ok=True)
    (source / name).write_bytes(data)
    # rsync sends nothing where size and time are the same.
    os.utime(source / name, (10**9 + data[0], 10**9 + data[1]))
    subprocess.run(["rsync", "-a", "--bwlimit=20", f"{source}/", f"{folder}/"], check=True)


def robocopy(folder: Path, name: str, data: bytes) -> None:
    """Over SMB: the full size first, the bytes in order after, the old times at the end, a stall between."""
    with open(folder / name, "r+b" if (folder / name).exists() else "wb") as stream:
        stream.truncate(len(data))
        stream.write(data[:20])
        stream.flush()
        time.sleep(1.5 * QUIET)
        stream.write(data[20:])
    os.utime(folder / name, (10**9, 10**9))


@pytest.mark.needs("rsync")
@pytest.mark.parametrize("save", [word, excel, libreoffice, scanner, browser, rsync, robocopy])
def test_one_save_is_one_version(site: Site, save: Callable[[Path, str, bytes], None]) -> None:
    name = "评估报告.docx"
    folder = site.write(f"f/s/{name}", "the first").parent
    daemon = site.start("--settle", QUIET)
    wait_until(lambda: site.tags() == ["f/s/v1"])
    for number in (2, 3):
        data = os.urandom(40_000 if save is rsync else 2000)
        save(folder, name, data)
        wait_until(lambda count=number: len(site.tags()) >= count)
        materials = site.json("show", f"f/s/v{number}")["materials"]
        assert [m["path"] for m in materials] == [name]
        site.run("restore", f"f/s/v{number}", "--to", site.root / f"back{number}")
        assert (site.root / f"back{number}" / name).read_bytes() == data
    time.sleep(1.5 * QUIET)
    assert site.tags() == ["f/s/v3", "f/s/v2", "f/s/v1"]
    daemon.terminate()
    assert daemon.wait(timeout=10) == 0
    assert daemon.stdout is not None
    daemon.stdout.close()
