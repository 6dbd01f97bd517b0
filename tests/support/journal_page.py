"""docs/journal.md, made from the classes of the events: ``python -m tests.support.journal_page``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import NamedTuple

from archiver.store.events import event_files
from archiver.store.events.chain_rules import (
    CHAIN_RULES,
    ChainKind,
    ChainRule,
    filing_in_object,
    find_chain_rule,
)
from archiver.store.events.event_details import FILING_MEMBER, EventDetails
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import ENVELOPE
from archiver.store.events.vocabulary import DETAILS_BY_ACTION
from archiver.store.names import MAX_TEXT_LENGTH, MAX_TYPED_LENGTH
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "journal.md"
HEAD = f"""\
# Journal events

`python -m tests.support.journal_page` generates this page from `archiver/store/events/`; a test compares both.
This page does not depend on the program: with this page, any Git and any JSON parser can read a journal.
It describes format 2, and marks what is different in format 1.
[format.md](format.md) describes the rest of an archive, such as names, chains, signed heads, the compliance clock, the lines of `changes.jsonl`, and the signatures.

## Read the journal

The journal is the branch `journal` of `archive.git`, to which `HEAD` points.
Each commit is one event, and its parent commit is the previous event.

    git --git-dir=archive.git log --reverse --format='%H %s' journal
    git --git-dir=archive.git show COMMIT:event.json
    git --git-dir=archive.git show COMMIT:body.json
    git --git-dir=archive.git ls-tree COMMIT

The tree of a commit contains `event.json`, `body.json`, and the attachments of the event; the last commit of each batch also contains `head.json` and `head.sig`, the [signed head](format.md#signed-heads).
In format 1, the tree contains only `event.json`, which has all members, and the attachments.

`event.json` and `body.json` are [canonical JSON](format.md#canonical-json).
`prev` is the SHA-256 digest of the bytes of the previous `event.json`, and `body` that of the bytes of `body.json`, so the chain can be checked without trusting Git:

    git --git-dir=archive.git show COMMIT^:event.json | sha256sum
    git --git-dir=archive.git show COMMIT:body.json | sha256sum

Times are RFC 3339 in UTC; dates are `YYYY-MM-DD` in the archive's time zone.
A *digest* is `sha256:` and 64 hexadecimal digits; in format 1, and in `details` unless a meaning below says `sha256:`, it is the digits alone.

A *checked* member must be present and have the right type; otherwise, the event counts as unreadable.
An unreadable event keeps its place in the chain, `verify` reports the event as A030, and all disposal is suspended, because the event may be a hold.
Other members are not checked, and can be absent from older events.
`verify` reports a signature or a certificate of destruction if the members to compare it with are absent.

An unknown member makes an event of format 2 unreadable, because it may change the meaning of the others, unless its name begins with `x-`; such a member has no effect.
In format 1, unknown members are ignored.

Texts of format 2 have at most {MAX_TEXT_LENGTH:,} characters, and those that a person *typed* at most {MAX_TYPED_LENGTH:,}, of which the line feed is the only control character.
An event beyond these bounds, or those of [format.md](format.md#bounds), is unreadable; an event of format 1 has no bounds.

A kind of event that is not on this page was written by a newer release: an *act* is finding A035 and suspends all disposal, a *note* is neither.

"""
#: Where an act on several filings is described.
ACTS = """\
An act on several filings, such as a disposal plan, an export, or a reminder, is one event for each filing, and all of them have the same `act`.
In format 1, it is one event, which names all of them, and neither `of_filing` nor `act` exists.
"""


class _Member(NamedTuple):
    """A member of ``event.json`` or ``body.json`` in format 2."""

    type: str
    meaning: str
    format_1: str  # what format 1 has in its place


_SAME = "the same"
_NONE = "none"
_VISIBLE = {
    "format": _Member("2", "number of the format", _NONE),
    "seq": _Member(ENVELOPE["seq"].kind.label, ENVELOPE["seq"].meaning, _SAME),
    "at": _Member(ENVELOPE["at"].kind.label, ENVELOPE["at"].meaning, _SAME),
    "clock": _Member(
        "object",
        f"{ENVELOPE['clock'].meaning}. The two `_ns` are decimal text",
        "the two `_ns` are integers",
    ),
    "prev": _Member(
        "digest", "digest of the preceding `event.json`, 64 zeros in the first event", "without `sha256:`"
    ),
    "chain": _Member(
        "text", "chain of the event: `archive`, `house`, or 32 hexadecimal digits for a filing", _NONE
    ),
    "n": _Member("integer from 1", "number of the event in its chain, from 1 and without gaps", _NONE),
    "chain_prev": _Member(
        "digest", "digest of the preceding `event.json` of the chain, 64 zeros in its first event", _NONE
    ),
    "class": _Member("text", "`act` (has an effect) or `note` (only records something)", _NONE),
    "body": _Member("digest", "digest of `body.json`", _NONE),
}
_BODY = {
    "salt": _Member("text", "128 random bits in hexadecimal: nobody can guess a body from its digest", _NONE),
    "action": _Member(ENVELOPE["action"].kind.label, ENVELOPE["action"].meaning, _SAME),
    "object": _Member(ENVELOPE["object"].kind.label, ENVELOPE["object"].meaning, _SAME),
    "details": _Member(ENVELOPE["details"].kind.label, ENVELOPE["details"].meaning, _SAME),
    "actor": _Member(ENVELOPE["actor"].kind.label, ENVELOPE["actor"].meaning, _SAME),
    "refs": _Member("object", f"{ENVELOPE['refs'].meaning}, `sha1:` and 40 hexadecimal digits", "without `sha1:`"),
    "attachments": _Member(
        "list of objects",
        "the other files of the commit: `name`, `digest` and `size` of each",
        "`sha256` in place of `digest`, without `sha256:`",
    ),
}
_CHAIN_NAMES = {ChainKind.ARCHIVE: "`archive`", ChainKind.HOUSE: "`house`", ChainKind.FILING: "of the filing"}
#: Kinds of events that format 1 does not have.
KINDS_OF_FORMAT_2 = frozenset(
    {
        Action.FORMAT,
        Action.EARLIER_EVENTS,
        Action.SUBMISSION_FILE,
        Action.KEY_REASON,
        Action.RECORD,
        Action.CORRECT,
        Action.RESTRICT,
        Action.UNRESTRICT,
    }
)
#: Members of ``details`` that no event of format 2 has.
MEMBERS_OF_FORMAT_1 = frozenset(
    {
        (Action.INIT, "watch"),
        (Action.CHECKPOINT, "refs"),
        (Action.CHECKPOINT, "refs_sha256"),
        (Action.TIMESTAMP, "event_sha256"),
        (Action.KEY_ROTATE, "reason"),
        (Action.KEY_REPLACE, "reason"),
    }
)


def is_of_format_2(action: str, member: str) -> bool:
    """Return True if no event of format 1 of this kind has the member of ``details``."""
    return (
        action in KINDS_OF_FORMAT_2
        or member in (FILING_MEMBER, "act")
        or (action, member)
        in ((Action.TIMESTAMP, "head"), (Action.SUBMIT, "about"), (Action.RESTORE, "restricted"))
    )


def render() -> str:
    """Return the text of the page; raises ValueError for members that this module does not describe."""
    if _VISIBLE.keys() != event_files._VISIBLE_MEMBERS or _BODY.keys() != event_files._BODY_MEMBERS:
        raise ValueError("the members of an event have changed")
    if not ENVELOPE.keys() <= {*_VISIBLE, *_BODY}:
        raise ValueError("a member of format 1 is not described")
    tables = f"## Members of `event.json`\n\n{_table(_VISIBLE)}\n## Members of `body.json`\n\n{_table(_BODY)}\n"
    sections = ("\n".join(_section(details_class)) for details_class in DETAILS_BY_ACTION.values())
    return HEAD + tables + _kinds() + "\n".join(sections)


def _table(members: dict[str, _Member]) -> str:
    """Return the table of the members of one file."""
    rows = (f"| `{name}` | {kind} | {meaning} | {old} |\n" for name, (kind, meaning, old) in members.items())
    return "| member | type | meaning | in `event.json` of format 1 |\n| --- | --- | --- | --- |\n" + "".join(rows)


def _kinds() -> str:
    """Return the section that lists all kinds of events with their chains."""
    counted = ", ".join(
        f"`{action}`"
        for action in DETAILS_BY_ACTION
        if filing_in_object(action, "filing/x") and action not in KINDS_OF_FORMAT_2
    )
    rows = "".join(
        f"| [`{action}`](#{action}) | {_chain_of(action)} | {CHAIN_RULES[action].event_class} "
        f"| {'2' if action in KINDS_OF_FORMAT_2 else '1, 2'} |\n"
        for action in DETAILS_BY_ACTION
    )
    return (
        "## Kinds of events\n\n"
        "The chain of a filing is the one of the event's `of_filing`; without that member, the name of the filing "
        "is the part of `object` before the first slash.\n"
        f"{ACTS}\n"
        f"| kind | chain | class | formats |\n| --- | --- | --- | --- |\n{rows}\n"
        f"Of format 1, `earlier-events` counts the events of these kinds: {counted}.\n\n"
    )


def _chain_of(action: str) -> str:
    """Return the chain of a kind of event, in words."""
    chain = _CHAIN_NAMES[CHAIN_RULES[action].kind]
    without_filing: ChainRule | None = find_chain_rule(action, {})
    if without_filing is None or without_filing == CHAIN_RULES[action]:
        return chain
    return f"{chain}; {_CHAIN_NAMES[without_filing.kind]} without `{FILING_MEMBER}`"


def _section(details_class: type[EventDetails]) -> Iterator[str]:
    """Yield the lines about one kind of event: when it is written, its object, its members, its attachments."""
    action = details_class.action
    yield f"## {action}\n"
    text = " ".join((inspect.getdoc(details_class) or "").split())
    yield text.replace(". ", ".\n") + "\n"
    yield f"Object: {details_class.object_meaning}.\n"
    only = "; only in format 2" if action in KINDS_OF_FORMAT_2 else ""
    yield f"Chain: {_chain_of(action)}; class: {CHAIN_RULES[action].event_class}{only}.\n"
    rules = details_class.member_rules()
    if rules:
        yield "| member | type | meaning | checked | formats |\n| --- | --- | --- | --- | --- |"
        for name, rule in rules.items():
            absent = ", optional" if rule.is_optional else ""
            checked = "yes" if rule.is_checked else ""
            meaning = rule.meaning.removeprefix("only in format 1: ")
            formats = _formats_of(action, name)
            typed = ", typed" if rule.is_typed else ""
            yield f"| `{name}` | {rule.kind.label}{typed}{absent} | {meaning} | {checked} | {formats} |"
    else:
        yield "`details` is empty."
    yield ""
    for file in details_class.attached_files:
        name = f"{file.name}.*" if file.has_suffix else file.name
        yield f"Attachment{'' if file.is_required else ' (optional)'}: `{name}`, {file.meaning}.\n"


def _formats_of(action: Action, member: str) -> str:
    """Return the formats in which events of this kind have the member of ``details``."""
    if (action, member) in MEMBERS_OF_FORMAT_1:
        return "1"
    return "2" if is_of_format_2(action, member) else "1, 2"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
