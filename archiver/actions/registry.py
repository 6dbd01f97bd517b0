"""Everything that a person does to the archive, by name.

For the service's user directly, for others through the daemon.

An action takes plain values, checks them, and answers with plain values and
phrases, so that it is the same whether the caller is this process or another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archiver.actions import (
    checkpoint_actions,
    display_actions,
    disposal_actions,
    filing_actions,
    hold_actions,
    maintenance_actions,
    reminder_actions,
    submission_actions,
)
from archiver.actions.context import Action, ActionContext, AsGiven, FileName
from archiver.errors import UsageProblem
from archiver.store import names

_LONGEST_TEXT = 4000
#: Name -> what does it, and the arguments with their kinds.
_ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    **checkpoint_actions.ACTIONS,
    **display_actions.ACTIONS,
    **disposal_actions.ACTIONS,
    **filing_actions.ACTIONS,
    **hold_actions.ACTIONS,
    **maintenance_actions.ACTIONS,
    **reminder_actions.ACTIONS,
    **submission_actions.ACTIONS,
}


def perform(name: str, context: ActionContext, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Do what ``name`` says; raises UsageProblem for what it does not know or cannot be."""
    if name not in _ACTIONS:
        raise UsageProblem("There is no action {name}. Nothing was changed.", name=str(name)[:100])
    action, accepted = _ACTIONS[name]
    for key in arguments.keys() | accepted.keys():
        if not isinstance(arguments.get(key), accepted.get(key, ())):
            raise UsageProblem(
                "{name}: {key} is unknown, missing or of the wrong kind. Nothing was changed. The command and the "
                "daemon may be of different releases.",
                name=name,
                key=str(key)[:100],
            )
    if any(isinstance(each, str) and len(each) > _LONGEST_TEXT for each in arguments.values()):
        raise UsageProblem(
            "A text is longer than {longest} characters. Nothing was changed. Say it shorter.",
            longest=_LONGEST_TEXT,
        )
    file = next((arguments.get(key) for key, kinds in accepted.items() if FileName in kinds), None)
    _check_attachment(name, context, file)
    return action(context, **{key: _kept(key, value, accepted[key]) for key, value in arguments.items()})


def _kept(key: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """An argument in the form that is journalled; raises UsageProblem for a text that must not be."""
    is_typed = isinstance(value, str) and not {AsGiven, FileName} & set(kinds)
    return names.typed(value, key) if is_typed else value


def _check_attachment(action: str, context: ActionContext, file: str | None) -> None:
    """Refuse a file that was named and not sent, sent and not named, or is empty; raises UsageProblem.

    Journalled as an empty attachment, it would look like evidence for ever.
    """
    stream = context.attachment
    if file is None:
        if stream is not None:
            raise UsageProblem(
                "A file was sent along that {action} does not name. Nothing was recorded. The command and the "
                "daemon may be of different releases.",
                action=action,
            )
        return
    if stream is None or not os.path.basename(file):
        raise UsageProblem(
            "The file {file} was named, but it was not sent along. Nothing was recorded. Name the file itself; "
            "the command and the daemon may be of different releases.",
            file=file[:200],
        )
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise UsageProblem(
            "The file {file} is empty, so it proves nothing. Nothing was recorded. Name the file that holds the "
            "receipt or the evidence, or leave it out.",
            file=file[:200],
        )
