"""Find an action by name or by request, and perform the request.

An action is a function with the decorator :func:`action`. Its second parameter is its request. A new action needs
no other registration, because every module of this package is imported.
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

#: How many characters of an unknown action's name, and of a file name, an error quotes. A caller chooses both, and
#: a long one would hide the sentence around it.
_MAX_NAME_QUOTE, _MAX_FILE_NAME_QUOTE = 100, 200


@dataclass(frozen=True, slots=True)
class RegisteredAction:
    """An action as registered by the decorator."""

    #: The name on the socket.
    name: str
    request_type: type[Request]
    #: Performs the action; the result has texts as keys, and values that ``protocol.encode_message`` can encode.
    handler: Callable[[ActionContext, Any], dict[str, Any]]


# Filled while the modules of this package are imported, and never changed afterwards.
_ACTIONS_BY_NAME: dict[str, RegisteredAction] = {}
_ACTIONS_BY_REQUEST: dict[type[Request], RegisteredAction] = {}


def action(
    name: str,
) -> Callable[
    [Callable[[ActionContext, RequestType], dict[str, Any]]],
    Callable[[ActionContext, RequestType], dict[str, Any]],
]:
    """Register the decorated function as the action ``name``, and return the function unchanged.

    The name is part of the protocol and never changes. Raises TypeError, while the module is imported, if the
    request class has a field without a wire name, or if the name or the class belongs to another action.
    """

    def register_handler(
        handler: Callable[[ActionContext, RequestType], dict[str, Any]],
    ) -> Callable[[ActionContext, RequestType], dict[str, Any]]:
        """Register ``handler`` as the action ``name``, and return ``handler``."""
        # The parameters of a handler are the context and the request.
        _, request_type, *_ = typing.get_type_hints(handler).values()
        request_fields(request_type)
        if name in _ACTIONS_BY_NAME or request_type in _ACTIONS_BY_REQUEST:
            raise TypeError(f"{name} or {request_type.__name__} belongs to another action")
        registered_action = RegisteredAction(name, request_type, handler)
        _ACTIONS_BY_NAME[name] = _ACTIONS_BY_REQUEST[request_type] = registered_action
        return handler

    return register_handler


def all_actions() -> Mapping[str, RegisteredAction]:
    """Return every action of this package by its name on the socket; imports all modules first."""
    _import_modules()
    return _ACTIONS_BY_NAME


@functools.cache
def _import_modules() -> None:
    """Import all modules of this package, once.

    The daemon does this when it starts. After an upgrade, a later import would load a module of the new release
    into the running old release.
    """
    for module in pkgutil.iter_modules(actions.__path__):
        importlib.import_module(f"{actions.__name__}.{module.name}")


def find_action(request: Request) -> RegisteredAction:
    """Return the action for this request; the module defining both is already imported."""
    return _ACTIONS_BY_REQUEST[type(request)]


def decode_action_request(action_name: str, arguments: Mapping[str, Any]) -> Request:
    """Return the request for an action with arguments from the socket, in their wire form.

    Raises UsageError if there is no such action, or if an argument is unknown, missing or of the wrong type.
    """
    registered_action = all_actions().get(action_name)
    if registered_action is None:
        raise unknown_action_error(action_name)
    return decode_request(action_name, registered_action.request_type, arguments)


def unknown_action_error(action_name: str) -> UsageError:
    """Return the error for a name that no action has; a long name is cut."""
    return UsageError(
        (
            "The action {name} does not exist. Nothing was changed. Check that the command and the daemon are the "
            "same release."
        ),
        name=action_name[:_MAX_NAME_QUOTE],
    )


def perform_action(context: ActionContext, request: Request) -> dict[str, Any]:
    """Perform the action for ``request``, and return the result.

    Typed texts are normalized, and the attachment is checked. Both the command of the archive's owner and the
    daemon call this function, so that both apply the same checks. Raises UsageError if a text or the attachment
    cannot be recorded, and whatever the action raises.
    """
    requested_action = find_action(request)
    request = normalize_texts(request)
    _check_attachment(requested_action.name, context, attachment_name(request))
    return requested_action.handler(context, request)


def _check_attachment(action_name: str, context: ActionContext, file_name: str | None) -> None:
    """Raise UsageError if a file was named but not sent, sent but not named, or is empty.

    ``file_name`` is the name in the request, None without one; a name without a last component, such as ``a/``,
    counts as not sent. An empty file would stay in the journal for ever, and would look like evidence. Leaves the
    attachment positioned at its start.
    """
    stream = context.attachment
    if file_name is None:
        if stream is not None:
            raise UsageError(
                "The request for {action} contains an unexpected file. Nothing was recorded. Check that the "
                "command and the daemon are the same release.",
                action=action_name,
            )
        return
    if stream is None or not os.path.basename(file_name):
        raise UsageError(
            "The request names the file {file} but does not contain it. Nothing was recorded. Check the file "
            "name, and check that the command and the daemon are the same release.",
            file=file_name[:_MAX_FILE_NAME_QUOTE],
        )
    byte_count = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if byte_count == 0:
        raise UsageError(
            "The file {file} is empty. Nothing was recorded. Name the file that contains the receipt or the "
            "evidence, or omit the option.",
            file=file_name[:_MAX_FILE_NAME_QUOTE],
        )
