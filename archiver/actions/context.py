"""Define the context of an action: the archive, the settings, the attachment, and a time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from archiver.config.settings import Config
from archiver.filings.evidence_file import EvidenceFile
from archiver.retention.disposal_conditions import DisposalRules
from archiver.retention.policy import policy_in_force
from archiver.store.archive import Archive


@dataclass(frozen=True, slots=True)
class ActionContext:
    """The archive, the settings and everything else that an action needs besides the request.

    The creator of the context closes the archive and the attachment.
    """

    #: Opened on behalf of the caller: new events name the caller as the actor.
    archive: Archive
    config: Config
    #: The number of seconds that the action may wait for another writer.
    lock_timeout: float
    #: The file that was sent along with the request, positioned at its start; None if there is none.
    attachment: IO[bytes] | None = None
    #: Called with the number of bytes transferred so far, and the total number of bytes.
    report_progress: Callable[[int, int], None] = lambda _done_bytes, _total_bytes: None

    def make_evidence_file(self, file_name: str | None) -> EvidenceFile | None:
        """Return the attachment with the name from the request; None if there is no name or no attachment."""
        if file_name is None or self.attachment is None:
            return None
        return EvidenceFile(file_name, self.attachment)

    @property
    def disposal_rules(self) -> DisposalRules:
        """The retention policy and the cooling-off period in force.

        Every accepted retention is a promise in the journal. The policy includes every promise, because shorter
        periods in the settings must not shorten the retention.
        """
        policy = policy_in_force(self.config, self.archive.index.retention_promises())
        return DisposalRules(policy, self.config.cooling_off_days)
