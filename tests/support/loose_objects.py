"""Objects in files of their own, as earlier releases of the program left them."""

from __future__ import annotations

import subprocess

from tests.support.site import Site


def unpack_all(site: Site) -> None:
    """Write every object of every pack of the archive to a file of its own, and remove the packs."""
    for pack in list(site.repository.glob("objects/pack/*.pack")):
        moved = site.root / pack.name
        pack.with_suffix(".idx").unlink()
        pack.rename(moved)
        with open(moved, "rb") as stream:
            git = ["git", f"--git-dir={site.repository}", "-c", "safe.directory=*", "unpack-objects", "-q"]
            subprocess.run(git, stdin=stream, check=True)
        moved.unlink()
