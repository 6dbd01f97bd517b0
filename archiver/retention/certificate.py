"""The certificate of a disposal (销毁证书): which content was destroyed, and by whose decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archiver import __version__, clock
from archiver.errors import NotFoundError
from archiver.model import Disposal
from archiver.store import keys
from archiver.store.archive import Archive
from archiver.store.events.attached_files import CERTIFICATE_FILE, CERTIFICATE_PAGE, CERTIFICATE_SIGNATURE_FILE
from archiver.store.journal import canonical


def build_certificate(
    archive: Archive, disposal: Disposal, plan: Mapping[str, Any], needed_objects: Sequence[str]
) -> dict[str, bytes]:
    """Return the certificate's files by name: canonical JSON, the SSH signature of the JSON, a page to print.

    ``plan`` is the planned deletion as journalled; ``needed_objects`` are the planned objects that were not
    destroyed, because a version needs them again.
    """
    document = {
        "certificate": disposal.identity,
        "archive": archive.index.archive_id,
        "program": f"archiver {__version__}",
        "plan_sha256": disposal.plan_sha256,
        "planned": {"at": disposal.at, "uid": disposal.uid, "user": disposal.user},
        "approved": [
            {"at": approval.at, "uid": approval.uid, "user": approval.user, "reason": approval.reason}
            for approval in disposal.approvals
        ],
        "cooling_off_days": disposal.cooling_off_days,
        "begun": disposal.begun,
        "finished": {
            "at": clock.stamp(clock.read().wall),
            "clock": clock.stamp(archive.compliance_time()),
            "uid": archive.actor.uid,
            "user": archive.actor.user,
        },
        "versions": [version for version in plan["decisions"] if version["goes"]],
        "objects": [
            {"sha256": sha256, "size": size, "destroyed": sha256 not in needed_objects}
            for sha256, size in plan["objects"]
        ],
    }
    json_bytes = canonical(document)
    return {
        CERTIFICATE_FILE: json_bytes,
        CERTIFICATE_SIGNATURE_FILE: keys.sign(archive.keys, json_bytes).encode("ascii"),
        CERTIFICATE_PAGE: _render_page(document).encode("utf-8"),
    }


def read_certificate(archive: Archive, plan_id: str) -> dict[str, bytes]:
    """Return the files of the certificate for a plan that was carried out, by name.

    Raises NotFoundError for an unknown plan, or one that was not carried out yet.
    """
    disposals = archive.index.disposals(plan_id)
    if not disposals or not disposals[0].certified_commit:
        raise NotFoundError(
            "There is no certificate {identity}. Nothing was written. See the plans with: archiver dispose list",
            identity=plan_id,
        )
    event = archive.journal.event(disposals[0].certified_commit)
    return {
        attachment.name: archive.journal.attachment(event, attachment.name) for attachment in event.attachments
    }


def _render_page(document: Mapping[str, Any]) -> str:
    from archiver.templating import template

    destroyed_objects = [content for content in document["objects"] if content["destroyed"]]
    return template("archiver.retention", "certificate.html.j2").render(
        document, destroyed=destroyed_objects, size=sum(content["size"] for content in destroyed_objects)
    )
