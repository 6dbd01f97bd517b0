"""``archiver explain``."""

from __future__ import annotations

import click

from archiver.cli.session import Name, Session, entry, find_version, json_option
from archiver.errors import NotFound


@entry
@click.argument("name", type=Name(), metavar="TAG[:PATH]")
@json_option
def command(session: Session, name: str, as_json: bool) -> None:
    """Why something is kept, until when, by which rule, and who could change that."""
    from archiver import clock
    from archiver.retention.policy import decide, decide_content
    from archiver.store.journal import compliance_clock
    from archiver.store.names import raw, text

    archive = session.archive()
    tag, _, path = name.partition(":")
    version = find_version(archive, tag)
    policy = session.policy(archive)
    now = compliance_clock(archive.journal.head(), clock.read())
    decision = decide(version, policy, now)
    holders = [version]
    if path:
        materials = archive.index.materials(version.submission, version.number)
        found = next((m for m in materials if path in (text(m.path), m.path) or m.path == raw(path)), None)
        if found is None:
            raise NotFound("{tag} has no material {path}. See them with: archiver show {tag}", tag=tag, path=path)
        if found.sha256:
            holders = archive.index.holding(found.sha256)
            decision = decide_content(holders, policy, now)
    console = session.console
    if as_json:
        console.json(
            {
                "tag": version.tag,
                "disposable": decision.disposable,
                "keep_until": decision.keep_until.isoformat(),
                "open": list(decision.open),
                "reasons": [
                    {
                        "rule": reason.rule,
                        "anchor": reason.anchor,
                        "keep_until": reason.keep_until.isoformat(),
                        "basis": reason.basis,
                    }
                    for reason in decision.reasons
                ],
            }
        )
        return
    console.say(
        "{tag}: not before {until}{open}",
        tag=name,
        until=decision.keep_until.date(),
        open=console.text(", and not while the filing is live" if decision.open else ""),
    )
    for reason in decision.reasons:
        console.say(
            "  {rule} on {anchor}: kept until the end of {until}",
            rule=console.text(reason.rule),
            anchor=session.local(reason.anchor),
            until=reason.keep_until.date(),
        )
    if len(holders) > 1:
        console.say("  The same content is held by: {tags}", tags=", ".join(v.tag for v in holders))
    console.say("  Basis: {basis}", basis=console.text(decision.reasons[0].basis))
    console.say(
        "  A later date: retention.years in {config}, or submitting again. An earlier one: nobody.",
        config=session.config.source,
    )
