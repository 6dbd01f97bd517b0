"""The class of the details for every kind of event."""

from __future__ import annotations

from collections.abc import Mapping

from archiver.store.events import (
    archive_events,
    capture_events,
    evidence_events,
    filing_events,
    retention_events,
)
from archiver.store.events.event_details import EventDetails

_CLASSES: tuple[type[EventDetails], ...] = (
    archive_events.ArchiveCreated,
    archive_events.ArchiveAdopted,
    archive_events.RetentionPromised,
    capture_events.VersionCaptured,
    capture_events.WatchPathChanged,
    capture_events.WatchedFolderLost,
    capture_events.WatchStalled,
    filing_events.VersionSubmitted,
    filing_events.FilingUpdated,
    filing_events.FilingEnded,
    filing_events.NoticeReceived,
    filing_events.NoticeAnswered,
    filing_events.ChangeNoticed,
    filing_events.ChangeDecided,
    filing_events.ReleaseSignalled,
    filing_events.DisplayChecked,
    filing_events.ReminderSent,
    retention_events.HoldPlaced,
    retention_events.HoldLifted,
    retention_events.DisposalPlanned,
    retention_events.DisposalApproved,
    retention_events.DisposalBegun,
    retention_events.DisposalCertified,
    retention_events.ActRefused,
    evidence_events.CheckpointSigned,
    evidence_events.TimestampReceived,
    evidence_events.ClockTicked,
    archive_events.KeyRotated,
    archive_events.KeyReplaced,
    archive_events.KeyBackedUp,
    evidence_events.VersionsRestored,
    evidence_events.PackageExported,
    evidence_events.ContentProtected,
    evidence_events.DrillCompleted,
    archive_events.ReplicaCreated,
    archive_events.SettingsReplaced,
    archive_events.LossAccepted,
)
#: Action -> class of its details, in the order of docs/journal.md. A test checks that every action has a class.
DETAILS_BY_ACTION: Mapping[str, type[EventDetails]] = {
    details_class.action: details_class for details_class in _CLASSES
}
