"""Decide which journal events the access log of the report lists."""

from __future__ import annotations

from archiver.model import Event
from archiver.store.events.capture_events import WatchPathChanged
from archiver.store.events.event_kinds import ACTIONS, Action

#: Actions in the access log: uses of the archive, refused attempts, decisions, and changes of its protection.
_LOGGED_ACTIONS = frozenset(
    [
        Action.EXPORT,
        Action.RESTORE,
        Action.REFUSE,
        Action.DRILL,
        Action.HOLD,
        Action.LIFT,
        Action.RESTRICT,
        Action.UNRESTRICT,
        Action.SUBMIT,
        Action.SUBMISSION_FILE,
        Action.FILING_END,
        Action.FILING_SET,
        Action.NOTICE,
        Action.NOTICE_ANSWER,
        Action.CHANGE_QUESTION,
        Action.CHANGE_DECISION,
        Action.DISPLAY_CHECK,
        Action.CORRECT,
        Action.REMINDER,
        Action.POLICY,
        Action.KEY_REASON,
        Action.KEY_ROTATE,
        Action.KEY_REPLACE,
        Action.KEY_BACKUP,
        Action.ADOPT,
        Action.WATCH_PATH,
        Action.RECOVER,
        Action.REPOSITORY_SETTINGS,
        Action.PROTECT,
        Action.FORMAT,
        Action.RECORD,
        Action.DISPOSE_PLAN,
        Action.DISPOSE_APPROVE,
        Action.DISPOSE_BEGIN,
        Action.DISPOSE_CERTIFY,
    ]
)


def is_logged(event: Event) -> bool:
    """Return True if the access log lists ``event``.  Events that only set up a new archive are left out."""
    if event.action == Action.WATCH_PATH:
        # Without a previous folder, the event belongs to the creation of the archive.
        return bool(WatchPathChanged.from_details(event.details).old_path)
    if event.action == Action.FORMAT:
        # Only the upgrade of an old archive attaches the signing keys to this event.
        return bool(event.attachments)
    # An unknown action, from a newer release, may belong to the access log, so list it as well.
    return event.action in _LOGGED_ACTIONS or event.action not in ACTIONS
