"""Gives an action the archive, the settings, the attachment, and a time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from archiver.config.settings import Config
from archiver.filings.evidence_file import EvidenceFile
from archiver.retention import disposal
from archiver.retention.policy import policy_in_force
from archiver.store.archive import Archive


@dataclass(frozen=True, slots=True)
class ActionContext:
    """The archive for one action, opened on behalf of the caller, and the limits in force."""

    archive: Archive
    config: Config
    #: How many seconds the action may wait for another writer.
    lock_timeout: float
    #: The file that was sent along, at its start; whoever made the context closes it.
    attachment: IO[bytes] | None = None
    #: Called with the number of bytes done and the number of all.
    report_progress: Callable[[int, int], None] = lambda _done, _total: None

    def evidence_file(self, name: str | None) -> EvidenceFile | None:
        """Return the attachment under its name in the request, or None without a name."""
        return None if name is None or self.attachment is None else EvidenceFile(name, self.attachment)

    @property
    def disposal_rules(self) -> disposal.DisposalRules:
        """Return the rules of retention and cooling-off in force."""
        policy = policy_in_force(self.config, self.archive.index.promises())
        return disposal.DisposalRules(policy, self.config.cooling_off_days)
