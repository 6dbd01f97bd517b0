"""Create and read the certificate of a disposal (销毁证书): the destroyed content, and the people who decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archiver import __version__, clock
from archiver.errors import NotFoundError
from archiver.naming.ref_names import RefName
from archiver.store import keys
from archiver.store.archive import Archive
from archiver.store.events.attached_files import CERTIFICATE_FILE, CERTIFICATE_PAGE, CERTIFICATE_SIGNATURE_FILE
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.index.disposal_state import Disposal


def build_certificate(
    archive: Archive, disposal: Disposal, plan: Mapping[str, Any], needed_objects: Sequence[str]
) -> dict[str, bytes]:
    """Return the certificate's files by name: canonical JSON, an SSH signature of the JSON, and a page to print.

    ``plan`` is the plan as journalled, see :func:`archiver.retention.disposal_conditions.read_plan`.
    ``needed_objects`` lists the SHA-256 of each planned object that was kept because a version needs it again. As
    the end of the disposal, the certificate states the present time, and the archive's actor as the user who
    finished it.

    Raises StorageError if there is no usable signing key.
    """
    certificate = {
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
            "at": clock.format_time(clock.read_clocks().wall),
            "clock": clock.format_time(archive.compliance_time()),
            "uid": archive.actor.uid,
            "user": archive.actor.user,
        },
        "versions": [version for version in plan["decisions"] if version["goes"]],
        "objects": [
            {"sha256": sha256, "size": size, "destroyed": sha256 not in needed_objects}
            for sha256, size in plan["objects"]
        ],
    }
    json_bytes = encode_canonical(certificate)
    return {
        CERTIFICATE_FILE: json_bytes,
        CERTIFICATE_SIGNATURE_FILE: keys.sign_message(archive.keys_folder, json_bytes).encode("ascii"),
        CERTIFICATE_PAGE: _render_page(certificate).encode("utf-8"),
    }


def read_certificate(archive: Archive, plan_id: str) -> dict[str, bytes]:
    """Return the files of the journalled certificate of a plan, by name.

    Raises NotFoundError if the plan does not exist or was not carried out yet, StorageError if the event of the
    certificate or one of its files is damaged.
    """
    disposals = archive.index.disposals(plan_id)
    if not disposals or not disposals[0].certified_commit:
        raise NotFoundError(
            "Disposal {identity} does not exist, or has no certificate of destruction yet. Nothing was changed. "
            "To list the disposal plans, run: archiver dispose list",
            identity=plan_id,
        )
    event = archive.journal.read_event(disposals[0].certified_commit)
    return {
        attachment.name: archive.journal.read_attachment(event, attachment.name)
        for attachment in event.attachments
    }


def _render_page(certificate: Mapping[str, Any]) -> str:
    """Return the certificate as an HTML page to print."""
    # Imported here, because most commands render no page, and start sooner without jinja2.
    from archiver.templating import template

    destroyed_objects = [
        planned_object for planned_object in certificate["objects"] if planned_object["destroyed"]
    ]
    destroyed_bytes = sum(planned_object["size"] for planned_object in destroyed_objects)
    named_versions = [{**version, "tag": RefName(version["tag"])} for version in certificate["versions"]]
    return template("archiver.retention", "certificate.html.j2").render(
        {**certificate, "versions": named_versions}, destroyed=destroyed_objects, size=destroyed_bytes
    )
