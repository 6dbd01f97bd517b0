"""Deletion after retention: plan, approvals, and carrying it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.actions.checkpoint_actions import sign
from archiver.actions.context import NAME, TEXT, Action, ActionContext
from archiver.errors import RetentionRefused
from archiver.retention import disposal
from archiver.store.resolve import find_version
from archiver.verify.disposals import UNFINISHED
from archiver.verify.whole_archive import verify


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
        "problem": sign(context),
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


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "dispose-plan": (_dispose_plan, {"tags": (list,)}),
    "dispose-approve": (_dispose_approve, {"plan": NAME, "reason": TEXT}),
    "dispose-run": (_dispose_run, {"plan": NAME}),
}
