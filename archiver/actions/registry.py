"""Finds an action by name or request, and performs the request.

An action is a function with the decorator :func:`action`; its second parameter is the request that it takes.
Nothing else has to be told of it: every module of this package is searched.
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archiver import actions
from archiver.actions.context import ActionContext
from archiver.actions.request_fields import (
    Request,
    RequestType,
    attachment_name,
    decode_request,
    normalize_texts,
    request_fields,
)
from archiver.errors import UsageError

#: Of a name that nobody knows, and of a file's name, so much is shown.
_LONGEST_NAME, _LONGEST_FILE_NAME = 100, 200


@dataclass(frozen=True, slots=True)
class RegisteredAction:
    """A kind of act on an archive, under the name on the socket."""

    name: str
    request_type: type[Request]
    handler: Callable[[ActionContext, Any], dict[str, Any]]


#: Filled while the modules of this package are imported, and never changed afterwards.
_ACTIONS_BY_NAME: dict[str, RegisteredAction] = {}
_ACTIONS_BY_REQUEST: dict[type[Request], RegisteredAction] = {}


def action(
    name: str,
) -> Callable[
    [Callable[[ActionContext, RequestType], dict[str, Any]]],
    Callable[[ActionContext, RequestType], dict[str, Any]],
]:
    """Make a function the action ``name``, which is part of the protocol and never changes.

    Raises TypeError while the module is imported if the request class has a field without a wire name, or the
    name or the class belongs to another action.
    """

    def register(
        handler: Callable[[ActionContext, RequestType], dict[str, Any]],
    ) -> Callable[[ActionContext, RequestType], dict[str, Any]]:
        _, request_type, *_ = typing.get_type_hints(handler).values()
        request_fields(request_type)
        if name in _ACTIONS_BY_NAME or request_type in _ACTIONS_BY_REQUEST:
            raise TypeError(f"{name} or {request_type.__name__} belongs to another action")
        registered = RegisteredAction(name, request_type, handler)
        _ACTIONS_BY_NAME[name] = _ACTIONS_BY_REQUEST[request_type] = registered
        return handler

    return register


def all_actions() -> Mapping[str, RegisteredAction]:
    """Return every action by name, from all modules of this package."""
    _import_modules()
    return _ACTIONS_BY_NAME


@functools.cache
def _import_modules() -> None:
    """Import all modules of this package, once: a later upgrade must not mix with the running release."""
    for module in pkgutil.iter_modules(actions.__path__):
        importlib.import_module(f"{actions.__name__}.{module.name}")


def find_action(request: Request) -> RegisteredAction:
    """Return the action for this request."""
    return _ACTIONS_BY_REQUEST[type(request)]


def decode_action(name: str, arguments: Mapping[str, Any]) -> Request:
    """Return the request for a name and arguments from the socket.

    Raises UsageError if there is no such action, or an argument of it is unknown, missing or of the wrong kind.
    """
    found_action = all_actions().get(name)
    if found_action is None:
        raise unknown_action(name)
    return decode_request(name, found_action.request_type, arguments)


def unknown_action(name: str) -> UsageError:
    """Return the refusal of an unknown action."""
    return UsageError("There is no action {name}. Nothing was changed.", name=name[:_LONGEST_NAME])


def perform(context: ActionContext, request: Request) -> dict[str, Any]:
    """Carry out a request from either side of the socket, and return the answer in plain values.

    Raises UsageError if a text or the attachment cannot be kept, and whatever the action raises.
    """
    requested_action = find_action(request)
    request = normalize_texts(request)
    _check_attachment(requested_action.name, context, attachment_name(request))
    return requested_action.handler(context, request)


def _check_attachment(action_name: str, context: ActionContext, file_name: str | None) -> None:
    """Refuse a file named and not sent, sent and not named, or empty; raises UsageError.

    Journalled as an empty attachment, it would look like evidence for ever.
    """
    stream = context.attachment
    if file_name is None:
        if stream is not None:
            raise UsageError(
                "A file was sent along that {action} does not name. Nothing was recorded. The command and the "
                "daemon may be of different releases.",
                action=action_name,
            )
        return
    if stream is None or not os.path.basename(file_name):
        raise UsageError(
            "The file {file} was named, but it was not sent along. Nothing was recorded. Name the file itself; "
            "the command and the daemon may be of different releases.",
            file=file_name[:_LONGEST_FILE_NAME],
        )
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise UsageError(
            "The file {file} is empty, so it proves nothing. Nothing was recorded. Name the file that holds the "
            "receipt or the evidence, or leave it out.",
            file=file_name[:_LONGEST_FILE_NAME],
        )
