"""The certificate of a disposal (销毁证书): what was destroyed, by whose decision, for whoever asks later."""

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


def build(archive: Archive, found: Disposal, plan: Mapping[str, Any], kept: Sequence[str]) -> dict[str, bytes]:
    """The certificate's files: canonical JSON, its SSH signature, a page to print."""
    document = {
        "certificate": found.identity,
        "archive": archive.index.archive_id,
        "program": f"archiver {__version__}",
        "plan_sha256": found.plan_sha256,
        "planned": {"at": found.at, "uid": found.uid, "user": found.user},
        "approved": [
            {"at": each.at, "uid": each.uid, "user": each.user, "reason": each.reason} for each in found.approvals
        ],
        "cooling_off_days": found.cooling_off_days,
        "begun": found.begun,
        "finished": {
            "at": clock.stamp(clock.read().wall),
            "clock": clock.stamp(archive.compliance_time()),
            "uid": archive.actor.uid,
            "user": archive.actor.user,
        },
        "versions": [each for each in plan["decisions"] if each["goes"]],
        "objects": [
            {"sha256": sha256, "size": size, "destroyed": sha256 not in kept} for sha256, size in plan["objects"]
        ],
    }
    data = canonical(document)
    return {
        CERTIFICATE_FILE: data,
        CERTIFICATE_SIGNATURE_FILE: keys.sign(archive.keys, data).encode("ascii"),
        CERTIFICATE_PAGE: _page(document).encode("utf-8"),
    }


def issued(archive: Archive, identity: str) -> dict[str, bytes]:
    """The files of a certificate; raises NotFoundError where there is none yet."""
    found = archive.index.disposals(identity)
    if not found or not found[0].certified_commit:
        raise NotFoundError(
            "There is no certificate {identity}. Nothing was written. See the plans with: archiver dispose list",
            identity=identity,
        )
    event = archive.journal.event(found[0].certified_commit)
    return {item.name: archive.journal.attachment(event, item.name) for item in event.attachments}


def _page(document: Mapping[str, Any]) -> str:
    from archiver.templating import template

    destroyed = [each for each in document["objects"] if each["destroyed"]]
    return template("archiver.retention", "certificate.html.j2").render(
        document, destroyed=destroyed, size=sum(each["size"] for each in destroyed)
    )
