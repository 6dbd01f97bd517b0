"""Deletes after retention: a plan, the approvals of two other people, and its execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.checkpoint_actions import sign_checkpoint
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import RetentionRefused
from archiver.retention import disposal
from archiver.store.resolve import find_version
from archiver.verify.disposals import UNFINISHED
from archiver.verify.whole_archive import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDisposal(Request):
    """The versions to dispose of."""

    #: Empty: every version whose retention is over.
    tags: Annotated[tuple[str, ...], Argument("tags")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveDisposal(Request):
    """A person's consent to a plan."""

    plan_id: Annotated[str, Argument("plan", TextRule.LOOKED_UP)]
    reason: Annotated[str, Argument("reason")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDisposal(Request):
    """The execution of an approved plan, or of the rest after an interruption."""

    plan_id: Annotated[str, Argument("plan", TextRule.LOOKED_UP)]


@action("dispose-plan")
def plan_disposal(context: ActionContext, request: PlanDisposal) -> dict[str, Any]:
    """Journal a plan of deletion, and return the versions to go and to stay, with reasons.

    Raises NotFoundError for an unknown tag, RetentionRefused if the journal has events that cannot be read.
    """
    archive = context.archive
    versions = [find_version(archive, tag) for tag in request.tags] or archive.index.versions()
    plan_id, selection = disposal.journal_plan(archive, versions, context.disposal_rules, context.lock_timeout)
    return {
        "plan": plan_id,
        "going": [
            {
                "tag": version.tag,
                "files": version.files,
                "bytes": version.bytes,
                "keep_until": decision.keep_until.isoformat(),
            }
            for version, decision in selection.disposable
        ],
        "staying": [
            {
                "tag": version.tag,
                "keep_until": decision.keep_until.isoformat(),
                "open": [str(reason) for reason in decision.open],
                "open_codes": [reason.code for reason in decision.open],
                "conditions": decision.conditions,
            }
            for version, decision in selection.retained
        ],
        "objects": len(selection.object_sizes),
        "bytes": sum(selection.object_sizes.values()),
        "shared_objects": selection.shared_count,
    }


@action("dispose-approve")
def approve_disposal(context: ActionContext, request: ApproveDisposal) -> dict[str, Any]:
    """Journal the caller's approval; return how many are missing, and from when on the plan may run.

    Raises NotFoundError for an unknown plan, RetentionRefused if the caller made the plan or has approved it
    already.
    """
    rules = context.disposal_rules
    plan = disposal.approve_plan(context.archive, request.plan_id, request.reason, rules, context.lock_timeout)
    missing_approvals = max(0, disposal.REQUIRED_APPROVALS - len(plan.approvals))
    may_run_after = None if missing_approvals else clock.stamp(disposal.cooling_off_end(plan, rules))
    return {"plan": plan.identity, "missing": missing_approvals, "not_before": may_run_after}


@action("dispose-run")
def run_disposal(context: ActionContext, request: RunDisposal) -> dict[str, Any]:
    """Delete the content in an approved plan, and sign the archive afterwards.

    Safe to repeat after a crash: a plan that was begun is finished.  Raises NotFoundError for an unknown plan, and
    RetentionRefused if the plan may not run or ``verify`` finds anything.  Nothing is deleted then.
    """
    disposal.check_holds_are_known(context.archive, "dispose run", context.lock_timeout)
    _check_archive_is_sound(context, request.plan_id)
    result = disposal.run_plan(context.archive, request.plan_id, context.disposal_rules, context.lock_timeout)
    return {
        "certificate": result.plan_id,
        "objects": result.object_count,
        "bytes": result.byte_count,
        "kept": result.needed_count,
        "problem": sign_checkpoint(context),
    }


def _check_archive_is_sound(context: ActionContext, plan_id: str) -> None:
    """Refuse to delete anything from an archive with findings, and journal the refusal.

    Damage has to be repaired while the content is still there.  Raises RetentionRefused.
    """
    report = verify(context.archive.root, context.archive.repository, 0.0)
    findings = [
        finding
        for finding in report.findings
        # This very run finishes the plan that was interrupted.
        if (finding.code, finding.object) != (UNFINISHED, plan_id)
    ]
    if findings:
        refusal = RetentionRefused(
            "Nothing is deleted while verify finds something ({code} {object}, {count} in all). Nothing was "
            "changed. Look with archiver verify, and put that right first.",
            code=findings[0].code,
            object=findings[0].object,
            count=len(findings),
        )
        disposal.journal_refusal(context.archive, "dispose run", refusal, context.lock_timeout)
        raise refusal
