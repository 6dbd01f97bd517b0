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
# Journal events

`python -m tests.support.journal_page` generates this page from `archiver/store/events/`; a test compares both.
This page describes format 1 and does not depend on the program: with this page, any Git and any JSON parser can read a journal.
[format.md](format.md) describes the rest of an archive, such as names, the compliance clock, the lines of `changes.jsonl`, and the signatures.

## Read the journal

The journal is the branch `journal` of `archive.git`, to which `HEAD` points.
Each commit is one event, and its parent commit is the previous event.

    git --git-dir=archive.git log --reverse --format='%H %s' journal
    git --git-dir=archive.git show COMMIT:event.json
    git --git-dir=archive.git ls-tree COMMIT

The tree of a commit contains `event.json` and the attachments of the event.
`event.json` is canonical JSON: UTF-8, members sorted by name, no spaces, characters outside ASCII unescaped, one line feed at the end.
`prev` is the SHA-256 digest of the bytes of the previous `event.json`, so the chain can be checked without trusting Git:

    git --git-dir=archive.git show COMMIT^:event.json | sha256sum

Times are RFC 3339 in UTC; dates are `YYYY-MM-DD` in the archive's time zone.

A *checked* member must be present and have the right type; otherwise, the event counts as unreadable.
An unreadable event keeps its place in the chain, `verify` reports the event as A030, and all disposal is suspended, because the event may be a hold.
Other members are not checked, and can be absent from older events.
`verify` reports a signature or a certificate of destruction if the members to compare it with are absent.
Members and kinds of events that are not on this page were written by a newer release.

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
            absent = ", optional" if rule.is_optional else ""
            yield f"| `{name}` | {rule.kind.label}{absent} | {rule.meaning} | {'yes' if rule.is_checked else ''} |"
    else:
        yield "`details` is empty."
    yield ""
    for file in details_class.attached_files:
        name = f"{file.name}.*" if file.has_suffix else file.name
        yield f"Attachment{'' if file.is_required else ' (optional)'}: `{name}`, {file.meaning}.\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
