"""The release that issues and goals name as "before", run on the same files as this one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from installed import PYTHON
from measure import Tool
from peers import Places

COMMIT = "2e4fd1f02754d1b3ea83bef25b6fe380f72d0c3b"
NAME = "archiver 2e4fd1f"


class EarlierProgram:
    """The program of that commit, in a folder by itself and with the libraries of this one."""

    def __init__(self, folder: Path) -> None:
        """Take the program from the history of this checkout; ends the program if it has none."""
        folder.mkdir()
        archive = ["git", "-C", str(Path(__file__).parent.parent), "archive", COMMIT, "archiver"]
        history = subprocess.Popen(archive, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], stdin=history.stdout, check=True)
        if history.wait():
            raise SystemExit("the checkout has no history: clone it without --depth")
        self._folder = folder

    def command(self, places: Places, number: int) -> str:
        """Return the beginning of a command line for the archive of a round."""
        config = places.of("earlier", number) / "archiver.toml"
        # From another folder: Python would import the package of this checkout.
        return f"cd / && PYTHONPATH={self._folder} {PYTHON} -P -m archiver -q --config {config}"

    def capture(self, places: Places) -> Tool:
        """``run --once`` into a new archive."""

        def prepare(number: int) -> None:
            place = places.of("earlier", number)
            place.mkdir(parents=True)
            init = f"{self.command(places, number)} init --archive {place}/archive --watch {places.source}"
            subprocess.run(init, shell=True, check=True, env=os.environ, stdout=subprocess.DEVNULL)

        return Tool(lambda number: f"{self.command(places, number)} run --once --settle 0 && sync", prepare)
