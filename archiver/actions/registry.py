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
    decode_request,
    find_attachment_name,
    normalize_texts,
    request_fields,
)
from archiver.errors import UsageError
from archiver.naming.named_documents import add_readable_names

#: The most characters of an unknown action's name, and of a file name, in an error message. Callers choose these
#: names, and a long name would make the message unreadable.
_MAX_QUOTED_ACTION_LENGTH, _MAX_QUOTED_FILE_LENGTH = 100, 200


#: A function that performs an action. The result must be a dict that ``protocol.encode_message`` can encode.
_Handler = Callable[[ActionContext, RequestType], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RegisteredAction:
    """An action as registered by the decorator."""

    #: The name on the socket.
    name: str
    request_type: type[Request]
    #: The decorated function.
    handler: _Handler[Any]


# Filled while the modules of this package are imported, and never changed afterwards.
_ACTIONS_BY_NAME: dict[str, RegisteredAction] = {}
_ACTIONS_BY_REQUEST: dict[type[Request], RegisteredAction] = {}


def action(action_name: str) -> Callable[[_Handler[RequestType]], _Handler[RequestType]]:
    """Return a decorator that registers a function as the action ``action_name`` and returns it unchanged.

    The name is part of the protocol and never changes. The decorator raises TypeError if ``request_fields`` does
    not accept the request class, or if the name or the request class belongs to another action.
    """

    def register_handler(handler: _Handler[RequestType]) -> _Handler[RequestType]:
        """Register ``handler`` as the action ``action_name``, and return ``handler``."""
        # The parameters of a handler are the context and the request.
        _, request_type, *_ = typing.get_type_hints(handler).values()
        # Called only to check the request class, while the module is imported.
        request_fields(request_type)
        if action_name in _ACTIONS_BY_NAME or request_type in _ACTIONS_BY_REQUEST:
            raise TypeError(f"{action_name} or {request_type.__name__} belongs to another action")
        registered_action = RegisteredAction(action_name, request_type, handler)
        _ACTIONS_BY_NAME[action_name] = _ACTIONS_BY_REQUEST[request_type] = registered_action
        return handler

    return register_handler


def load_all_actions() -> Mapping[str, RegisteredAction]:
    """Import all modules of this package, and return every action by its name on the socket."""
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
    """Return the action that performs ``request``; never fails, because the same module defines both."""
    return _ACTIONS_BY_REQUEST[type(request)]


def decode_action_request(action_name: str, arguments: Mapping[str, Any]) -> Request:
    """Return the request for the action ``action_name`` with ``arguments``, which are in the wire form.

    Raises UsageError if there is no such action, or if an argument is unknown, missing or of the wrong type.
    """
    registered_action = load_all_actions().get(action_name)
    if registered_action is None:
        raise unknown_action_error(action_name)
    return decode_request(action_name, registered_action.request_type, arguments)


def unknown_action_error(action_name: str) -> UsageError:
    """Return the error for an unknown action; a long name is cut in the message."""
    return UsageError(
        (
            "The action {name} does not exist. Nothing was changed. Check that the command and the service are "
            "the same release."
        ),
        name=action_name[:_MAX_QUOTED_ACTION_LENGTH],
    )


def perform_action(context: ActionContext, request: Request) -> dict[str, Any]:
    """Perform the action for ``request``, and return the result with a name for people next to each tag.

    The texts that a person typed are normalized, and the attachment is checked. The daemon and the commands of the
    archive's owner call this function, so that the same checks apply to both.

    Some actions have an effect that cannot be undone, such as a sent message, before they write to the archive. So
    the format of the archive is checked before the action begins.

    Raises UsageError if a text or the attachment cannot be recorded, ConfigError if this release does not write
    the archive's format, and any exception of the action.
    """
    requested_action = find_action(request)
    context.archive.check_writable()
    normalized_request = normalize_texts(request)
    _check_attachment(requested_action.name, context, find_attachment_name(normalized_request))
    return dict(add_readable_names(requested_action.handler(context, normalized_request)))


def _check_attachment(action_name: str, context: ActionContext, file_name: str | None) -> None:
    """Raise UsageError if a file was named but not sent, or sent but not named, or is empty.

    ``file_name`` is the name in the request, or None. A name without a last component, such as ``a/``, is refused
    too. An empty file would stay in the journal forever and look like evidence. The attachment is left positioned
    at its start.
    """
    attachment = context.attachment
    if file_name is None:
        if attachment is not None:
            raise UsageError(
                "The request for {action} contains an unexpected file. Nothing was recorded. Check that the "
                "command and the service are the same release.",
                action=action_name,
            )
        return
    if attachment is None or not os.path.basename(file_name):
        raise UsageError(
            "The request names the file {file} but does not contain the file. Nothing was recorded. Check the "
            "file name, and check that the command and the service are the same release.",
            file=file_name[:_MAX_QUOTED_FILE_LENGTH],
        )
    attachment_size = attachment.seek(0, os.SEEK_END)
    attachment.seek(0)
    if attachment_size == 0:
        raise UsageError(
            "The file {file} is empty. Nothing was recorded. Name the file that contains the receipt or the "
            "evidence, or omit the option.",
            file=file_name[:_MAX_QUOTED_FILE_LENGTH],
        )
