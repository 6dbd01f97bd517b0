"""Encode and decode the two files of an event in format 2: ``event.json``, which is public, and ``body.json``.

An inspection package for one filing carries the bodies of that filing's events only.  ``event.json`` states the
digest of the body.  The body has a random salt, so that nobody can guess the body from its digest.  ``event.json``
has no member ``action``, so the program of commit 2e4fd1f, which knows only format 1, stops instead of appending
events.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from archiver.store import names
from archiver.store.events import validation
from archiver.store.events.canonical_json import encode_canonical, is_canonical
from archiver.store.events.chain_rules import check_position, filing_of_event
from archiver.store.events.chains import ARCHIVE_CHAIN, HOUSE_CHAIN, ChainPosition, EventClass, is_chain_name
from archiver.store.events.digests import (
    compute_sha256,
    name_algorithm,
    parse_object_id,
    parse_sha256,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.validation import (
    check_bounds,
    check_details,
    check_known_members,
    check_value,
    load_json_object,
)
from archiver.store.events.value_kinds import ACTOR, COMPLIANCE_CLOCK, EVENT_NUMBER, TIME, fits_refs

FORMAT = 2
BODY_FILE = "body.json"
#: Length of a salt in bytes.
_SALT_BYTES = 16
_SALT = re.compile(r"[0-9a-f]{32}")
_VISIBLE_MEMBERS = frozenset({"at", "body", "chain", "chain_prev", "class", "clock", "format", "n", "prev", "seq"})
_BODY_MEMBERS = frozenset({"action", "actor", "attachments", "details", "object", "refs", "salt"})
_ATTACHMENT_MEMBERS = frozenset({"digest", "name", "size"})
#: Members of ``clock`` that are decimal text, because JavaScript and others read such large integers inexactly.
_NANOSECONDS = ("boottime_ns", "uptime_ns")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class BodyMismatch(ValueError):
    """The bytes of ``body.json`` do not have the digest that ``event.json`` states."""


class EventFiles(NamedTuple):
    """The bytes of both files of an event."""

    event: bytes
    body: bytes


class VisibleFields(NamedTuple):
    """The content of ``event.json``, decoded."""

    seq: int
    at: str
    #: As :func:`archiver.clock.make_evidence` returns it.
    clock: dict[str, Any]
    #: The SHA-256 of the previous ``event.json``, in hexadecimal.
    prev: str
    position: ChainPosition
    event_class: EventClass
    #: The SHA-256 of ``body.json``, in hexadecimal.
    body_sha256: str


class BodyFields(NamedTuple):
    """The content of ``body.json``, decoded."""

    action: str
    object: str
    details: dict[str, Any]
    actor: dict[str, Any]
    #: Full name of a ref -> object id in hexadecimal.
    refs: dict[str, str]
    #: Name, SHA-256 in hexadecimal, and size in bytes of each attachment.
    attachments: tuple[tuple[str, str, int], ...]


def encode_body(fields: BodyFields) -> bytes:
    """Return the bytes of ``body.json``, with a new random salt.

    Raises ValueError or TypeError for a value that JSON cannot represent.
    """
    # Commands that only read import this module, and this import takes milliseconds.
    import secrets

    return encode_canonical(
        {
            "salt": secrets.token_hex(_SALT_BYTES),
            "action": fields.action,
            "object": fields.object,
            "details": fields.details,
            "actor": fields.actor,
            "refs": {ref: name_algorithm("sha1", oid) for ref, oid in fields.refs.items()},
            "attachments": [
                {"name": name, "digest": name_algorithm("sha256", sha256), "size": size}
                for name, sha256, size in fields.attachments
            ],
        }
    )


def encode_visible(
    *,
    seq: int,
    at: str,
    clock: Mapping[str, Any],
    prev: str,
    position: ChainPosition,
    event_class: EventClass,
    body: bytes,
) -> bytes:
    """Return the bytes of the ``event.json`` of an event whose ``body.json`` has the bytes ``body``.

    ``prev`` is the SHA-256 of the previous ``event.json``, in hexadecimal.
    """
    return encode_canonical(
        {
            "format": FORMAT,
            "seq": seq,
            "at": at,
            "clock": {name: str(value) if name in _NANOSECONDS else value for name, value in clock.items()},
            "prev": name_algorithm("sha256", prev),
            "chain": position.chain,
            "n": position.number,
            "chain_prev": position.previous_digest,
            "class": event_class.value,
            "body": compute_sha256(body),
        }
    )


def is_format_2(document: Mapping[str, Any]) -> bool:
    """Return True if the parsed ``event.json`` is of format 2 or later; format 1 has no member ``format``."""
    return "format" in document


def decode_visible(data: bytes) -> VisibleFields:
    """Decode the bytes of an ``event.json`` of format 2.

    Raises ValueError if the bytes are not canonical JSON, or if a member is missing, of another kind, or unknown.
    An unknown member may change the meaning of the others.  Members that begin with ``x-`` are ignored.
    """
    members = _load_members(data, _VISIBLE_MEMBERS)
    if members["format"] != FORMAT:
        raise ValueError("an event of another format")
    if not EVENT_NUMBER.accepts(members["seq"]) or not EVENT_NUMBER.accepts(members["n"]):
        raise ValueError("a number is missing or too large")
    if not TIME.accepts(members["at"]):
        raise ValueError("at is no time")
    if not is_chain_name(members["chain"]):
        raise ValueError("chain is no chain")
    parse_sha256(members["chain_prev"])
    return VisibleFields(
        seq=members["seq"],
        at=members["at"],
        clock=_decode_clock(members["clock"]),
        prev=parse_sha256(members["prev"]),
        position=ChainPosition(members["chain"], members["n"], members["chain_prev"]),
        event_class=EventClass(members["class"]),
        body_sha256=parse_sha256(members["body"]),
    )


def decode_body(data: bytes) -> BodyFields:
    """Decode the bytes of a ``body.json``.  Raises ValueError for the same reasons as :func:`decode_visible`."""
    members = _load_members(data, _BODY_MEMBERS)
    if not isinstance(members["salt"], str) or not _SALT.fullmatch(members["salt"]):
        raise ValueError("salt is missing")
    for name in ("action", "object"):
        if not isinstance(members[name], str) or len(members[name]) > names.MAX_TEXT_LENGTH:
            raise ValueError(f"{name} is missing or too long")
    if not isinstance(members["details"], dict) or not ACTOR.accepts(members["actor"]):
        raise ValueError("details or actor are missing")
    if not isinstance(members["refs"], dict) or not isinstance(members["attachments"], list):
        raise ValueError("refs or attachments are missing")
    for name in ("actor", "refs", "attachments"):
        check_value(members[name], name)
    return BodyFields(
        action=members["action"],
        object=members["object"],
        details=members["details"],
        actor=members["actor"],
        refs=_decode_refs(members["refs"]),
        attachments=tuple(_decode_attachment(attachment) for attachment in members["attachments"]),
    )


def decode_event(event_data: bytes, body_data: bytes) -> tuple[VisibleFields, BodyFields]:
    """Decode both files of an event of format 2, and check the event by the rules of its kind.

    Raises BodyMismatch, a ValueError, if ``event.json`` states the digest of another body.  Raises ValueError if
    one of the files cannot be decoded, or if the event breaks a rule.
    """
    visible = decode_visible(event_data)
    # Compared before the body is decoded: the members of another body say nothing about this event.
    if hashlib.sha256(body_data).hexdigest() != visible.body_sha256:
        raise BodyMismatch("the body is another one")
    body = decode_body(body_data)
    if (body.action == Action.INIT) != (visible.seq == 1):
        raise ValueError("an archive begins with the event that creates it, and with no other")
    check_details(body.action, body.details, [name for name, _, _ in body.attachments])
    check_known_members(body.action, body.details)
    check_bounds(body.action, body.details, len(body_data))
    check_position(body.action, body.details, visible.position.chain, visible.event_class)
    if visible.position.chain not in (ARCHIVE_CHAIN, HOUSE_CHAIN):
        filing_of_event(body.action, body.object, body.details)
    return visible, body


def decode_document(event_data: bytes, body_data: bytes) -> dict[str, Any]:
    """Decode an event of format 2 to a dict with the members of format 1, and those about the chain.

    Raises ValueError for the same reasons as :func:`decode_event`.
    """
    visible, body = decode_event(event_data, body_data)
    return {
        "seq": visible.seq,
        "at": visible.at,
        "clock": visible.clock,
        "prev": visible.prev,
        "actor": body.actor,
        "action": body.action,
        "object": body.object,
        "details": body.details,
        "refs": body.refs,
        "attachments": [{"name": name, "sha256": sha256, "size": size} for name, sha256, size in body.attachments],
        "chain": visible.position.chain,
        "n": visible.position.number,
        "chain_prev": visible.position.previous_digest,
        "class": visible.event_class.value,
    }


def read_moved_refs(event_data: bytes, body_data: bytes | None) -> dict[str, str]:
    """Return ref -> object id for the refs that an event moved, even if the rest of the event is unreadable.

    ``body_data`` is None in format 1.  Returns an empty dict if the refs are missing or of another form, or if
    ``event.json`` states the digest of another body.
    """
    try:
        document = load_json_object(event_data)
        if body_data is None:
            return validation.read_moved_refs(document)
        if document.get("body") != compute_sha256(body_data):
            return {}
        refs = load_json_object(body_data).get("refs")
        return _decode_refs(refs) if isinstance(refs, dict) else {}
    except ValueError:
        # The bytes are not JSON, or a name or an object id is not valid: nobody knows which refs were moved.
        return {}


def names_body(data: bytes) -> bool:
    """Return True if an ``event.json`` is of format 2 or later, and so has a ``body.json``.

    Quick, because the JSON is not parsed.  For bytes that are not canonical JSON the result may be wrong, but such
    bytes are not a valid event of either format.
    """
    # In format 1, ``action`` is the first member, and ``details`` could contain the text that is searched for.
    return b'"body":"sha256:' in data and not data.startswith(b'{"action":')


def read_chain_place(data: bytes) -> ChainPosition | None:
    """Return the position in its chain that an ``event.json`` states, even if the rest is unreadable.

    Returns None for an event of format 1, and for an event without a valid position: neither is in a chain.
    :mod:`archiver.verify.chain_replay` has the same rule, so that both count the same events.
    """
    try:
        document = load_json_object(data)
    except ValueError:
        # Bytes that are not a JSON object state no position.
        return None
    chain, number = document.get("chain"), document.get("n")
    if not is_chain_name(chain) or not EVENT_NUMBER.accepts(number):
        return None
    return ChainPosition(str(chain), int(number or 0), str(document.get("chain_prev")))


def read_format_number(data: bytes) -> int:
    """Return the format number that an ``event.json`` states, even if the rest is unreadable.

    Returns 1 if it states none, as in format 1.  Raises ValueError if the bytes are not a JSON object.
    """
    number = load_json_object(data).get("format", 1)
    return number if isinstance(number, int) else 1


def _decode_refs(value: Any) -> dict[str, str]:
    """Return ref -> object id in hexadecimal; raises ValueError for an invalid object id or name of a ref.

    A NUL in a name would begin another command in the input of the git process that moves refs.
    """
    refs = {ref: parse_object_id(oid) for ref, oid in value.items()}
    if not fits_refs(refs):
        raise ValueError("the name of a ref is of another kind")
    return refs


def _load_members(data: bytes, known_names: frozenset[str]) -> dict[str, Any]:
    """Return the members of a canonical JSON document, without those that begin with ``x-``.

    Raises ValueError if the bytes are not canonical JSON, or if the names are not exactly ``known_names``.
    """
    document = load_json_object(data)
    if not is_canonical(document, data):
        raise ValueError("not canonical JSON")
    members = {name: value for name, value in document.items() if not name.startswith("x-")}
    if members.keys() != known_names:
        raise ValueError("a member is missing or unknown")
    return members


def _decode_clock(value: Any) -> dict[str, Any]:
    """Return the member ``clock`` with nanoseconds as integers; raises ValueError if it is not a valid clock."""
    if not isinstance(value, dict):
        raise ValueError("clock is missing")
    clock = dict(value)
    for name in _NANOSECONDS:
        if not isinstance(clock.get(name), str) or not _DECIMAL.fullmatch(clock[name]):
            raise ValueError(f"{name} is no decimal number")
        clock[name] = int(clock[name])
    if not COMPLIANCE_CLOCK.accepts(clock):
        raise ValueError("clock is of another kind")
    check_value(clock, "clock")
    return clock


def _decode_attachment(value: Any) -> tuple[str, str, int]:
    """Return name, SHA-256 in hexadecimal, and size of an attachment; raises ValueError for another value."""
    if not isinstance(value, dict) or value.keys() != _ATTACHMENT_MEMBERS:
        raise ValueError("an attachment is of another kind")
    name, size = value["name"], value["size"]
    if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("an attachment is of another kind")
    return name, parse_sha256(value["digest"]), size
