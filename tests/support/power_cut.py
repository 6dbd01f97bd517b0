"""Cut the power of an archive's disk while the daemon writes to it, again and again.

    python -m tests.support.power_cut ext4|xfs [--cuts 200] [--seed N]

The disk is a file with a filesystem of its own, which is shut down in one step: what had not reached the file by
then is gone, as after a power cut.  After each cut, every version that the daemon reported must be there, the
next run must complete without help, and ``verify`` must find nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.site import Site, wait_until

#: EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same request.
_SHUTDOWN = 0x8004587D
#: The kernel's flags: write the log first (names without bytes survive), or drop it as well.
_FLUSH_LOG, _DROP_LOG = 1, 2
#: mkfs.xfs makes nothing smaller.
_IMAGE_BYTES = 320 << 20
_MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-m0"], "xfs": ["mkfs.xfs", "-q", "-f"]}


class CutVolume:
    """A filesystem in a file, mounted at ``point``; its owner unmounts it with :meth:`end`."""

    def __init__(self, point: Path, filesystem: str) -> None:
        """Make and mount the filesystem; ``filesystem`` is ``ext4`` or ``xfs``."""
        self.point = point
        self._image = point.with_suffix(".img")
        point.mkdir(parents=True)
        with open(self._image, "wb") as stream:
            stream.truncate(_IMAGE_BYTES)
        subprocess.run([*_MAKE[filesystem], self._image], check=True, capture_output=True)
        self._mount()
        with contextlib.suppress(FileNotFoundError):
            (point / "lost+found").rmdir()

    def cut(self, keep_log: bool) -> None:
        """Shut the filesystem down in one step; every later write fails."""
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _FLUSH_LOG if keep_log else _DROP_LOG))
        finally:
            os.close(descriptor)

    def power_on(self) -> None:
        """Mount the filesystem again, which replays its log; whoever used it has ended or is about to."""
        # The children of a killed daemon end a moment after it.
        wait_until(lambda: subprocess.run(["umount", self.point], capture_output=True).returncode == 0)
        # In a mount namespace that somebody made meanwhile, the disk is still there, and still shut down.
        wait_until(lambda: not self._is_in_use(), seconds=120)
        self._mount()

    def _is_in_use(self) -> bool:
        loop_devices = subprocess.run(["losetup", "-j", self._image], check=True, capture_output=True)
        return bool(loop_devices.stdout)

    def end(self) -> None:
        subprocess.run(["umount", "-l", self.point], check=True)
        self._image.unlink()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self._image, self.point], check=True)


@contextlib.contextmanager
def site_on(root: Path, filesystem: str) -> Iterator[tuple[Site, CutVolume]]:
    """Yield a site whose archive is the only thing on a filesystem of its own."""
    site = Site(root)
    volume = CutVolume(site.archive, filesystem)
    try:
        yield site.init(), volume
    finally:
        volume.end()


def cut_once(site: Site, volume: CutVolume, chance: random.Random) -> list[str]:
    """Let the daemon capture, cut the power at a random moment, and check; return the versions it had reported."""
    log_path = site.root / "daemon.log"
    with open(log_path, "w", encoding="utf-8") as log:
        daemon = site.start("--settle", "0", output=log)
    # A cut before the first version would cut nothing.
    site.write("first/first/first.txt", str(chance.random()))
    wait_until(lambda: "Captured first/first/" in log_path.read_text("utf-8"), seconds=60)
    for number in range(40):
        # Several submissions at the same time become one batch.
        for submission in chance.sample(range(4), chance.randrange(1, 4)):
            folder = f"f{chance.randrange(3)}/s{submission}"
            site.write(f"{folder}/{chance.randrange(20)}.txt", f"{number} {chance.random()}")
        time.sleep(chance.uniform(0, 0.03))
    time.sleep(chance.uniform(0, 0.4))
    volume.cut(keep_log=chance.random() < 0.5)
    time.sleep(0.05)
    daemon.kill()
    daemon.wait()
    output = log_path.read_text("utf-8")
    reported = [
        line.split(" (")[0].removeprefix("Captured ") for line in output.splitlines() if "Captured " in line
    ]
    volume.power_on()
    missing = set(reported) - set(site.tags())
    assert not missing or _complete(site, missing), missing
    site.catch_up()
    site.verified()
    tags = site.tags()
    assert set(reported) <= set(tags)
    assert len(tags) == len(set(tags))
    return reported


def _complete(site: Site, missing: set[str]) -> bool:
    """Return True if the journal alone has the versions: the next writer makes their refs."""
    subjects = site.git("log", "--format=%s", "journal").stdout.split("\n")
    return all(any(subject.endswith(f" capture {tag}") for subject in subjects) for tag in missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filesystem", choices=sorted(_MAKE))
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    chance = random.Random(chosen.seed)
    reported = 0
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for start in range(0, chosen.cuts, 25):
            # A new disk now and then: it would be full, and verify slower with each cut.
            with site_on(Path(folder, f"site-{start}"), chosen.filesystem) as (site, volume):
                for number in range(start, min(start + 25, chosen.cuts)):
                    reported += len(cut_once(site, volume, chance))
                    print(f"cut {number + 1}: {reported} versions reported so far, all there", flush=True)
    print(
        f"{chosen.cuts} cuts on {chosen.filesystem}: {reported} versions reported, all there; verify clean each time"
    )


if __name__ == "__main__":
    main()
