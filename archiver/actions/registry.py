"""Everything that a person does to the archive, by name.

For the service's user directly, for others through the daemon.

An action takes plain values, checks them, and answers with plain values and
phrases, so that it is the same whether the caller is this process or another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.actions import filings
from archiver.actions.context import FILE, MAYBE, MAYBE_NAME, NAME, TEXT, Action, ActionContext, AsGiven, FileName
from archiver.errors import ArchiverError, NotFound, Phrase, RetentionRefused, UsageProblem
from archiver.evidence import request_timestamp
from archiver.evidence.checkpoint import make_checkpoint, witness_of
from archiver.filings import end_of_filing
from archiver.filings.submissions import HandingIn, Receipt, check_whole, submit
from archiver.filings.typed_days import day_of
from archiver.intake.capture_now import capture_now, check_nothing_hidden, unsettled
from archiver.model import Submission, Version
from archiver.restore import drill
from archiver.retention import disposal, holds
from archiver.retention.policy import decide
from archiver.store import maintenance, names
from archiver.store.events import validation
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.evidence_events import (
    ContentProtected,
    PackageExported,
    TimestampReceived,
    VersionsRestored,
)
from archiver.store.journal import canonical
from archiver.store.resolve import find_filing, find_object, find_submission, find_version
from archiver.store.writer import Draft
from archiver.verify.disposals import UNFINISHED
from archiver.verify.whole_archive import verify

_LONGEST_TEXT = 4000
#: A restore at a time may name thousands of versions.
_LARGEST_NOTE = 1 << 20
_NOTES = {str(details.action): details.action for details in (VersionsRestored, PackageExported, ContentProtected)}
#: What a person typed, among the details of a note; the rest are names of folders and versions.
_TYPED = frozenset({"recipient", "reason"})


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


def _submit(
    context: ActionContext,
    name: str,
    version: int | None,
    on: str,
    kind: str | None,
    number: str | None,
    force: str | None,
    receipt: str | None,
    by: str | None,
    reason: str | None = None,
) -> dict[str, Any]:
    day = day_of(on)
    if day > clock.today(context.config.zone):
        raise UsageProblem("{day} is in the future. Nothing was recorded. Mend --on.", day=day)
    archive = context.archive
    submission = find_submission(archive, name)
    chosen = (
        find_version(archive, submission.tag(version)) if version is not None else _newest(context, submission)
    )
    reason = (reason or "").strip() or None
    if version is not None and reason is None:
        check_nothing_hidden(archive, context.config, submission)
    if version is None or reason is None:
        check_whole(archive, chosen)
    paper = Receipt(receipt, context.attachment) if receipt is not None and context.attachment else None
    event = submit(
        *(archive, chosen, HandingIn(day, kind, number, paper, by, force, reason)),
        *(context.wait_seconds, context.config.sm3),
    )
    problem = _sign(context)
    sealed = find_version(archive, chosen.tag)
    decision = decide(sealed, context.rules.policy, archive.compliance_time())
    return {
        "tag": sealed.tag,
        "submitted": event.object,
        "keep_until": decision.keep_until.date().isoformat(),
        "conditions": decision.conditions,
        "problem": problem,
    }


def _newest(context: ActionContext, submission: Submission) -> Version:
    """The newest version, after what is finished in the watched folder was captured."""
    archive, config = context.archive, context.config
    capture_now(archive, config, submission, context.wait_seconds)
    waiting = unsettled(archive, config, submission)
    if waiting:
        raise UsageProblem(
            "{count} changes of {submission} are not archived yet, the first is {path}. Nothing was recorded. "
            "Wait until archiver status shows nothing pending, or name the version with --version N.",
            count=len(waiting),
            submission=str(submission),
            path=names.text(waiting[0]),
        )
    latest = archive.index.latest(submission)
    if latest is None:
        raise NotFound("The submission {name} has no version. Nothing was recorded.", name=str(submission))
    return latest


def _sign(context: ActionContext) -> Phrase | None:
    """A checkpoint after what matters; what was done stands without it too."""
    try:
        make_checkpoint(context.archive, context.wait_seconds)
    except ArchiverError as error:
        return Phrase(error.template, **error.fields)
    return None


def _hold_place(context: ActionContext, name: str, target: str, reason: str, by: str | None) -> dict[str, Any]:
    held = find_object(context.archive, target)
    return {"object": holds.place(context.archive, name, held, reason, by, context.wait_seconds).object}


def _hold_lift(
    context: ActionContext, name: str, target: str | None, reason: str, by: str | None
) -> dict[str, Any]:
    held = None if target is None else find_object(context.archive, target)
    lifted = holds.lift(context.archive, name, held, reason, by, context.wait_seconds)
    return {"objects": [event.object for event in lifted]}


def _filing_end(context: ActionContext, filing: str, on: str, reason: str, by: str | None) -> dict[str, Any]:
    found = find_filing(context.archive, filing)
    event = end_of_filing.end(context.archive, found, day_of(on), reason, by, context.wait_seconds)
    return {"filing": event.object}


def _dispose_plan(context: ActionContext, tags: list[str]) -> dict[str, Any]:
    archive = context.archive
    versions = [find_version(archive, str(tag)) for tag in tags] or archive.index.versions()
    identity, selection = disposal.plan(archive, versions, context.rules, context.wait_seconds)
    return {
        "plan": identity,
        "going": [
            {
                "tag": version.tag,
                "files": version.files,
                "bytes": version.bytes,
                "keep_until": decision.keep_until.isoformat(),
            }
            for version, decision in selection.going
        ],
        "staying": [
            {
                "tag": version.tag,
                "keep_until": decision.keep_until.isoformat(),
                "open": [str(each) for each in decision.open],
                "conditions": decision.conditions,
            }
            for version, decision in selection.staying
        ],
        "objects": len(selection.objects),
        "bytes": sum(selection.objects.values()),
        "shared_objects": selection.shared,
    }


def _dispose_approve(context: ActionContext, plan: str, reason: str) -> dict[str, Any]:
    found = disposal.approve(context.archive, plan, reason, context.rules, context.wait_seconds)
    missing = max(0, disposal.APPROVALS - len(found.approvals))
    until = None if missing else clock.stamp(disposal.cooled_off(found, context.rules))
    return {"plan": found.identity, "missing": missing, "not_before": until}


def _dispose_run(context: ActionContext, plan: str) -> dict[str, Any]:
    disposal.refuse_unread(context.archive, "dispose run", context.wait_seconds)
    _check_whole(context, plan)
    done = disposal.run(context.archive, plan, context.rules, context.wait_seconds)
    return {
        "certificate": done.identity,
        "objects": done.objects,
        "bytes": done.bytes,
        "kept": done.kept,
        "problem": _sign(context),
    }


def _check_whole(context: ActionContext, plan: str) -> None:
    """Nothing is deleted from an archive that is not as it should be; raises RetentionRefused."""
    report = verify(context.archive.root, context.archive.repository, 0.0)
    # What was interrupted is finished by this very run.
    found = [each for each in report.findings if (each.code, each.object) != (UNFINISHED, plan)]
    if found:
        refused = RetentionRefused(
            "Nothing is deleted while verify finds something ({code} {object}, {count} in all). Nothing was "
            "changed. Look with archiver verify, and put that right first.",
            code=found[0].code,
            object=found[0].object,
            count=len(found),
        )
        disposal.journal_refusal(context.archive, "dispose run", refused, context.wait_seconds)
        raise refused


def _checkpoint(context: ActionContext) -> dict[str, Any]:
    event = make_checkpoint(context.archive, context.wait_seconds)
    answer: dict[str, Any] = {"line": str(witness_of(context.archive, event)), "proven": None, "problem": None}
    if context.config.timestamp_url:
        try:
            stamped = request_timestamp.journal_token(
                context.archive, context.config.timestamp_url, context.wait_seconds
            )
            answer["proven"] = TimestampReceived.from_details(stamped.details).time
        except ArchiverError as error:
            answer["problem"] = Phrase(error.template, **error.fields)
    return answer


def _drill(context: ActionContext, files: int) -> dict[str, Any]:
    done = drill.drill(context.archive, min(max(files, 1), 100_000), context.wait_seconds)
    return {"versions": sorted(done.versions), "files": done.files, "bytes": done.bytes}


def _maintain(context: ActionContext) -> dict[str, Any]:
    done = maintenance.maintain(context.archive, context.wait_seconds)
    return {"objects": done.objects, "packs": done.packs}


def _replica_sync(context: ActionContext) -> dict[str, Any]:
    from archiver.replica.connect import open_replica, sync_replica

    archive, config = context.archive, context.config
    with open_replica(archive, config) as replica:
        policy, wait = context.rules.policy, context.wait_seconds
        done = sync_replica(archive, replica, policy, wait, progress=context.progress)
    return {
        "done": done.describe(),
        "sent": done.sent_count,
        "bytes": done.sent_bytes,
        "holds": done.changed_holds,
        "deleted": done.deleted_count,
        "extended": [{"object": key, "until": clock.stamp(until)} for key, until in sorted(done.extended_locks)],
        "locked": [{"sha256": sha256, "until": clock.stamp(until)} for sha256, until in sorted(done.still_locked)],
        "missing": done.missing_content,
    }


def _note(context: ActionContext, what: str, about: str, details: dict[str, Any]) -> dict[str, Any]:
    """Journal what somebody did who may not write the journal."""
    if what not in _NOTES:
        raise UsageProblem("There is no action {name}. Nothing was changed.", name=what[:100])
    validation.check_values(details)
    for key in _TYPED & details.keys():
        if isinstance(details[key], str):
            details = {**details, key: names.typed(details[key], key)}
    if len(canonical(details)) > _LARGEST_NOTE:
        raise UsageProblem(
            "A note for the journal is longer than {longest} bytes. Nothing was changed.", longest=_LARGEST_NOTE
        )
    with context.archive.writing(context.wait_seconds) as writer:
        return {"seq": writer.append(Draft(about[:500], GivenDetails(_NOTES[what], details))).seq}


#: Name -> what does it, and the arguments with their kinds.
_ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "submit": (
        _submit,
        {
            "name": NAME,
            "version": (int, type(None)),
            "on": TEXT,
            "kind": MAYBE,
            "number": MAYBE,
            "force": MAYBE,
            "receipt": FILE,
            "by": MAYBE,
            "reason": MAYBE,
        },
    ),
    "hold-place": (_hold_place, {"name": TEXT, "target": NAME, "reason": TEXT, "by": MAYBE}),
    "hold-lift": (_hold_lift, {"name": TEXT, "target": MAYBE_NAME, "reason": TEXT, "by": MAYBE}),
    "filing-end": (_filing_end, {"filing": NAME, "on": TEXT, "reason": TEXT, "by": MAYBE}),
    "dispose-plan": (_dispose_plan, {"tags": (list,)}),
    "dispose-approve": (_dispose_approve, {"plan": NAME, "reason": TEXT}),
    "dispose-run": (_dispose_run, {"plan": NAME}),
    "checkpoint": (_checkpoint, {}),
    "replica-sync": (_replica_sync, {}),
    "maintain": (_maintain, {}),
    "drill": (_drill, {"files": (int,)}),
    "note": (_note, {"what": NAME, "about": NAME, "details": (dict,)}),
    **filings.ACTIONS,
}
