"""Filesystems of their own in image files, for tests of what disks, shares, and containers do."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.site import Site


def sh(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


class Disk:
    """An image with a filesystem, mounted at a folder; unmounted and removed at the end of the test."""

    def __init__(self, image: Path, kind: str, *options: str) -> None:
        self.image, self.points = image, list[Path]()
        image.parent.mkdir(parents=True, exist_ok=True)
        with open(image, "wb") as stream:
            stream.truncate((320 if kind in ("xfs", "btrfs") else 24) << 20)
        force = "-F" if kind == "ext4" else "-f"
        sh(f"mkfs.{kind}", "-q", force, *options, image)

    def mount(self, point: Path, *options: str) -> None:
        point.mkdir(exist_ok=True)
        sh("mount", "-o", ",".join(["loop", *options]), self.image, point)
        self.points.append(point)

    def umount(self, point: Path) -> None:
        sh("umount", "-l", point)
        self.points.remove(point)

    def end(self) -> None:
        for point in list(self.points):
            self.umount(point)


def fill(site: Site) -> None:
    for name in "推荐/首次/甲", "推荐/首次/乙", "搜索/首次/丙":
        site.write(name, name)
    site.catch_up()


def file_counts(site: Site) -> set[int]:
    """The number of files in every version: 0 would be a deletion of everything."""
    return {version["files"] for version in site.json("log")}


def codes(site: Site) -> list[str]:
    return list(site.json("status")["problem_codes"])


def identities(site: Site) -> list[dict[str, str]]:
    return [event["details"] for event in site.events() if event["action"] in ("watch-folder", "watch-accept")]
