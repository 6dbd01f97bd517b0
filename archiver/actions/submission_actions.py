"""Recording that a version was handed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.actions.checkpoint_actions import sign
from archiver.actions.context import FILE, MAYBE, NAME, TEXT, Action, ActionContext
from archiver.errors import NotFound, UsageProblem
from archiver.filings.submissions import HandingIn, Receipt, check_whole, submit
from archiver.filings.typed_days import day_of
from archiver.intake.capture_now import capture_now, check_nothing_hidden, unsettled
from archiver.model import Submission, Version
from archiver.retention.policy import decide
from archiver.store import names
from archiver.store.resolve import find_submission, find_version


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
    problem = sign(context)
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


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
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
}
