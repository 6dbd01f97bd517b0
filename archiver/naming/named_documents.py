"""Put the names for people next to the tags in documents for programs, and recognize the tags by them.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.naming.ref_names import RefName, to_readable


def add_readable_names(document: Any) -> Any:
    """Return a JSON document in which a name for people stands next to every :class:`RefName`.

    Next to ``tag`` that is ``name``, next to ``filing`` ``filing_name``, and next to a list ``tags`` a list
    ``names``; :func:`_name_member` has the rule.  Existing members are never replaced.
    """
    if isinstance(document, Mapping):
        members: dict[str, Any] = {}
        for member, value in document.items():
            members[member] = add_readable_names(value)
            if _holds_ref_names(value) and (name_member := _name_member(member, value)) not in document:
                members[name_member] = (
                    to_readable(value) if isinstance(value, str) else list(map(to_readable, value))
                )
        return members
    return list(map(add_readable_names, document)) if isinstance(document, list | tuple) else document


def recognize_ref_names(document: Any) -> Any:
    """Return a JSON document from another process in which each text with a name for people is a RefName again.

    It undoes :func:`add_readable_names`; the names stay in the document.
    """
    if isinstance(document, Mapping):
        members = {member: recognize_ref_names(value) for member, value in document.items()}
        return {
            member: _mark_ref_names(value) if _name_member(member, value) in members else value
            for member, value in members.items()
        }
    return list(map(recognize_ref_names, document)) if isinstance(document, list | tuple) else document


def _mark_ref_names(value: Any) -> Any:
    """Return a text, or the texts of a list, as RefName; any other value unchanged."""
    if isinstance(value, list):
        return list(map(_mark_ref_names, value))
    return RefName(value) if isinstance(value, str) else value


def _holds_ref_names(value: Any) -> bool:
    """Return True for a RefName, and for a list of them that is not empty."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(list_item, RefName) for list_item in value)
    return isinstance(value, RefName)


def _name_member(member: str, value: object) -> str:
    """Return the member with the name for people next to ``member``, whose ``value`` is in the ref form."""
    if member in ("tag", "tags"):
        return member.replace("tag", "name")
    return f"{member}_name" if isinstance(value, str) else f"{member.removesuffix('s')}_names"
