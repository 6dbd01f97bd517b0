"""The folder in which the program itself makes changes, to see whether events arrive."""

from __future__ import annotations

from pathlib import Path

from archiver.errors import Reporter
from archiver.intake.folder.volatile_folder import VolatileFolder


class ProbeFolder:
    """The folder for probe events: in memory where possible, so that the disk of an idle archive can sleep."""

    def __init__(self, volatile_folder: VolatileFolder, folder_on_disk: Path, report: Reporter) -> None:
        """Use ``volatile_folder``, or else ``folder_on_disk``; nothing is created before :meth:`ensure`."""
        self._volatile_folder = volatile_folder
        self._path = self._folder_on_disk = folder_on_disk
        self._report = report

    def ensure(self) -> Path | None:
        """Return the folder, created if missing; report a failure, and return None."""
        self._path = self._volatile_folder.ensure() or self._folder_on_disk
        try:
            self._path.mkdir(exist_ok=True)
        except OSError as error:
            self.report_problem(error)
            return None
        return self._path

    def report_problem(self, error: OSError) -> None:
        """Report that no probe event can be made: a stalled watch may go unnoticed for longer."""
        self._report(
            "Cannot test the kernel notifications in {path} ({reason}). No files are lost: archiver still scans "
            "the watched folder. Remove the file or folder at this path.",
            problem="canary",
            path=self._path,
            reason=error.strerror,
        )
