"""docs/journal.md, made from the classes of the events: ``python -m tests.support.journal_page``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from archiver.store.events.event_details import EventDetails
from archiver.store.events.value_kinds import ENVELOPE
from archiver.store.events.vocabulary import DETAILS_BY_ACTION
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "journal.md"
HEAD = """\
# The journal, event by event

Made from `archiver/store/events/` by `python -m tests.support.journal_page`; a test keeps it so.
This page is format 1, and outlives the program: with it, any git and any JSON parser can read a journal.
[format.md](format.md) describes the rest of an archive, such as names, the compliance clock, the lines of `changes.jsonl`, and what is signed.

## How to read it

The journal is the branch `journal` of `archive.git`; `HEAD` names it.
Each commit is one event, and its parent is the event before.

    git --git-dir=archive.git log --reverse --format='%H %s' journal
    git --git-dir=archive.git show COMMIT:event.json
    git --git-dir=archive.git ls-tree COMMIT

A commit's tree is `event.json` and the event's attachments.
`event.json` is canonical JSON: UTF-8, members sorted by name, no spaces, characters outside of ASCII as they are, one line feed at the end.
`prev` is the SHA-256 of the bytes of the `event.json` before, so the chain can be checked without trusting git:

    git --git-dir=archive.git show COMMIT^:event.json | sha256sum

Times are RFC 3339 in UTC, days are `YYYY-MM-DD` in the archive's time zone.

A *checked* member has to be there and of its type: without it, an event counts as unreadable.
Such an event keeps its place in the chain, `verify` reports it as A030, and nothing is disposed of while it is there, since it may be a hold.
Other members are taken as they come, and an older event may lack them.
`verify` reports a signature or certificate that lacks what it is compared by.
Members and kinds of events that are not on this page are of a newer release.

## Every event

| member | type | meaning |
| --- | --- | --- |
"""


def render() -> str:
    """Return the text of the page."""
    envelope = "".join(f"| `{name}` | {kind.label} | {meaning} |\n" for name, (kind, meaning) in ENVELOPE.items())
    sections = ("\n".join(_section(details_class)) for details_class in DETAILS_BY_ACTION.values())
    return f"{HEAD}{envelope}\n" + "\n".join(sections)


def _section(details_class: type[EventDetails]) -> Iterator[str]:
    """Yield the lines about one kind of event: when it is written, its object, its members, its attachments."""
    yield f"## {details_class.action}\n"
    text = " ".join((inspect.getdoc(details_class) or "").split())
    yield text.replace(". ", ".\n") + "\n"
    yield f"Object: {details_class.object_meaning}.\n"
    rules = details_class.member_rules()
    if rules:
        yield "| member | type | meaning | checked |\n| --- | --- | --- | --- |"
        for name, rule in rules.items():
            absent = ", or absent" if rule.is_optional else ""
            yield f"| `{name}` | {rule.kind.label}{absent} | {rule.meaning} | {'yes' if rule.is_checked else ''} |"
    else:
        yield "It has no details."
    yield ""
    for file in details_class.attached_files:
        name = f"{file.name}.*" if file.has_suffix else file.name
        yield f"Attached{'' if file.is_required else ' (may be absent)'}: `{name}`, {file.meaning}.\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
