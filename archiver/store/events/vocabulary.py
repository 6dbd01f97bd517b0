"""The class of the details for every kind of event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from archiver.store.events.event_details import EventDetails
from archiver.store.events.event_kinds import Action

#: Action -> name of the module in this package, and of the class for the details; in the order of docs/journal.md.
_MODULE_AND_CLASS_BY_ACTION: Mapping[str, tuple[str, str]] = {
    Action.INIT: ("archive_events", "ArchiveCreated"),
    Action.FORMAT: ("archive_events", "FormatStated"),
    Action.EARLIER_EVENTS: ("archive_events", "EarlierEventsCounted"),
    Action.ADOPT: ("archive_events", "ArchiveAdopted"),
    Action.POLICY: ("archive_events", "RetentionPromised"),
    Action.CAPTURE: ("capture_events", "VersionCaptured"),
    Action.WATCH_PATH: ("capture_events", "WatchPathChanged"),
    Action.WATCH_FOLDER: ("capture_events", "WatchedFolderIdentified"),
    Action.WATCH_ACCEPT: ("capture_events", "WatchedFolderAccepted"),
    Action.WATCH_LOST: ("capture_events", "WatchedFolderLost"),
    Action.WATCH_DEAF: ("capture_events", "WatchStalled"),
    Action.SUBMIT: ("filing_events", "VersionSubmitted"),
    Action.SUBMISSION_FILE: ("filing_events", "SubmissionFileAdded"),
    Action.FILING_SET: ("filing_events", "FilingUpdated"),
    Action.FILING_END: ("filing_events", "FilingEnded"),
    Action.NOTICE: ("filing_events", "NoticeReceived"),
    Action.NOTICE_ANSWER: ("filing_events", "NoticeAnswered"),
    Action.CHANGE_QUESTION: ("filing_events", "ChangeNoticed"),
    Action.CHANGE_DECISION: ("filing_events", "ChangeDecided"),
    Action.SIGNAL: ("filing_events", "ReleaseSignalled"),
    Action.DISPLAY_CHECK: ("filing_events", "DisplayChecked"),
    Action.CORRECT: ("corrections", "RecordCorrected"),
    Action.REMINDER: ("filing_events", "ReminderSent"),
    Action.HOLD: ("retention_events", "HoldPlaced"),
    Action.LIFT: ("retention_events", "HoldLifted"),
    Action.RESTRICT: ("restriction_events", "FileRestricted"),
    Action.UNRESTRICT: ("restriction_events", "RestrictionLifted"),
    Action.DISPOSE_PLAN: ("retention_events", "DisposalPlanned"),
    Action.DISPOSE_APPROVE: ("retention_events", "DisposalApproved"),
    Action.DISPOSE_BEGIN: ("retention_events", "DisposalBegun"),
    Action.DISPOSE_CERTIFY: ("retention_events", "DisposalCertified"),
    Action.REFUSE: ("retention_events", "ActRefused"),
    Action.CHECKPOINT: ("evidence_events", "CheckpointSigned"),
    Action.TIMESTAMP: ("evidence_events", "TimestampReceived"),
    Action.TICK: ("evidence_events", "ClockTicked"),
    Action.KEY_ROTATE: ("archive_events", "KeyRotated"),
    Action.KEY_REPLACE: ("archive_events", "KeyReplaced"),
    Action.KEY_REASON: ("archive_events", "KeyReasonGiven"),
    Action.KEY_BACKUP: ("archive_events", "KeyBackedUp"),
    Action.RESTORE: ("evidence_events", "VersionsRestored"),
    Action.EXPORT: ("evidence_events", "PackageExported"),
    Action.PROTECT: ("evidence_events", "ContentProtected"),
    Action.DRILL: ("evidence_events", "DrillCompleted"),
    Action.REPLICA_INIT: ("archive_events", "ReplicaCreated"),
    Action.REPOSITORY_SETTINGS: ("archive_events", "SettingsReplaced"),
    Action.RECOVER: ("archive_events", "LossAccepted"),
    Action.RECORD: ("archive_events", "RecordAdded"),
}


class _DetailsByAction(Mapping[str, type[EventDetails]]):
    """Maps each action to the class of its details, and imports the module when the class is first needed.

    Creating all classes takes longer than listing versions, and a command that does only that needs none of them.
    """

    def __getitem__(self, action: str) -> type[EventDetails]:
        """Return the class for ``action``; raises KeyError for an unknown one."""
        return _load_class(*_MODULE_AND_CLASS_BY_ACTION[action])

    def __iter__(self) -> Iterator[str]:
        """Yield every known action."""
        return iter(_MODULE_AND_CLASS_BY_ACTION)

    def __len__(self) -> int:
        """Return the number of known actions."""
        return len(_MODULE_AND_CLASS_BY_ACTION)


@cache
def _load_class(module_name: str, class_name: str) -> type[EventDetails]:
    """Import a module of this package, and return one of its classes."""
    details_class: type[EventDetails] = getattr(import_module(f"archiver.store.events.{module_name}"), class_name)
    return details_class


#: A test checks that every action has a class, and that the class is for this action.
DETAILS_BY_ACTION: Mapping[str, type[EventDetails]] = _DetailsByAction()
