"""The kinds of events, and the word for each in the journal."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """Every kind of event that this release knows; the words are a format and never change."""

    INIT = "init"
    FORMAT = "format"
    EARLIER_EVENTS = "earlier-events"
    ADOPT = "adopt"
    POLICY = "policy"
    WATCH_PATH = "watch-path"
    WATCH_FOLDER = "watch-folder"
    WATCH_ACCEPT = "watch-accept"
    WATCH_LOST = "watch-lost"
    WATCH_DEAF = "watch-deaf"
    CAPTURE = "capture"
    SUBMIT = "submit"
    SUBMISSION_FILE = "submission-file"
    FILING_SET = "filing-set"
    FILING_END = "filing-end"
    NOTICE = "notice"
    NOTICE_ANSWER = "notice-answer"
    CHANGE_QUESTION = "change-question"
    CHANGE_DECISION = "change-decision"
    SIGNAL = "signal"
    DISPLAY_CHECK = "display-check"
    CORRECT = "correct"
    REMINDER = "reminder"
    HOLD = "hold"
    LIFT = "lift"
    RESTRICT = "restrict"
    UNRESTRICT = "unrestrict"
    DISPOSE_PLAN = "dispose-plan"
    DISPOSE_APPROVE = "dispose-approve"
    DISPOSE_BEGIN = "dispose-begin"
    DISPOSE_CERTIFY = "dispose-certify"
    REFUSE = "refuse"
    CHECKPOINT = "checkpoint"
    TIMESTAMP = "timestamp"
    TICK = "tick"
    KEY_ROTATE = "key-rotate"
    KEY_REPLACE = "key-replace"
    KEY_REASON = "key-reason"
    KEY_BACKUP = "key-backup"
    RESTORE = "restore"
    EXPORT = "export"
    PROTECT = "protect"
    DRILL = "drill"
    REPLICA_INIT = "replica-init"
    REPOSITORY_SETTINGS = "repository-settings"
    RECOVER = "recover"
    RECORD = "record"


#: All actions that this release knows. An event with another action was written by a newer release, and may be a
#: hold.
ACTIONS = frozenset(Action)
#: The action of the stand-in for an event that cannot be read; no release writes an event with it.
UNREADABLE = "unreadable"
