"""Making a replica, and making an archive from one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from archiver import clock
from archiver.config import template
from archiver.config.bucket_access import BucketAccess
from archiver.config.settings import Config
from archiver.errors import Phrase
from archiver.existence import is_there
from archiver.replica.bucket import BucketProblem
from archiver.replica.bucket_settings import Settings, of_url
from archiver.replica.connect import STATE
from archiver.replica.desired_objects import history, lock_date
from archiver.replica.lock_probe import Proof, claim, prove
from archiver.replica.rebuild import Recovered, recover
from archiver.replica.s3 import S3Bucket
from archiver.replica.sync import Progress
from archiver.store import names, sqlite
from archiver.store.archive import Archive
from archiver.store.events.archive_events import ArchiveCreated, ReplicaCreated
from archiver.store.writer import Draft


def settings(config: Config, url: str, endpoint: str, region: str, style: str, *, lock: bool) -> Settings:
    """What was said on the command line, over what the configuration says; raises UsageProblem."""
    known = config.replica
    access = replace(
        known,
        endpoint=endpoint or known.endpoint,
        region=region or known.region,
        style=style if style != "auto" else known.style,
    )
    return of_url(url, access, lock=lock)


def begin(archive: Archive, chosen: Settings, wait_seconds: float) -> Proof:
    """Prove the bucket, claim the prefix and journal it; raises BucketProblem where a promise is missing."""
    archive.check_owner()
    bucket = S3Bucket(chosen)
    proof = prove(bucket)
    if chosen.lock and proof.broken:
        raise BucketProblem(
            "{url} does not lock: {what}. Nothing was changed. Make a bucket with object lock, or take it as it "
            "is with --no-lock.",
            url=chosen.url,
            what=_all(proof.broken),
        )
    # Whoever is there already is seen before anything is journalled.
    until = lock_date(history({}, now := clock.read().wall), now) if chosen.lock else None
    claim(bucket, archive.index.archive_id, until)
    details = ReplicaCreated(
        url=chosen.url,
        endpoint=chosen.endpoint,
        region=chosen.region,
        style=chosen.style,
        lock=chosen.lock,
        promises={promise: bool(kept) for promise, kept in proof.kept.items()},
    )
    with archive.writing(wait_seconds) as writer:
        writer.append(Draft("replica", details))
    # What was known is of another bucket.
    sqlite.remove(archive.root / STATE)
    return proof


def _all(phrases: list[Phrase]) -> Phrase:
    whole = phrases[0]
    for each in phrases[1:]:
        whole = Phrase("{first}; {then}", first=whole, then=each)
    return whole


def rebuild(
    url: str,
    access: BucketAccess,
    root: Path,
    key_folder: Path | None,
    *,
    only_history: bool,
    progress: Progress,
) -> tuple[Recovered, Path]:
    """An archive at ``root`` from the bucket alone, and a configuration for it beside it."""
    chosen = of_url(url, access)
    done = recover(
        S3Bucket(chosen),
        root.absolute(),
        key_folder,
        chosen.parallel,
        only_history=only_history,
        progress=progress,
    )
    path = root.absolute().with_name(f"{root.absolute().name}.toml")
    if not is_there(path):
        text = template.render(_config(root.absolute(), path))
        path.write_text(text + _way(access), encoding="utf-8")
    return done, path


def _way(access: BucketAccess) -> str:
    """The tables of the configuration that lead to the bucket; no keys."""
    given = {"endpoint": access.endpoint, "region": access.region, "credentials": access.credentials}
    lines = [
        f"{key} = {json.dumps(os.path.abspath(value) if key == 'credentials' else value)}"
        for key, value in given.items()
        if value
    ]
    return "\n".join(["", "[replica]", *lines, ""])


def _config(root: Path, path: Path) -> Config:
    archive = Archive(root)
    try:
        first = archive.journal.first()
        watch = names.raw(ArchiveCreated.from_details(first.details).watch or "") if first else b""
        return Config(
            source=path,
            archive=root,
            watch=Path(os.fsdecode(watch)),
            layout=archive.index.layout,
            retention_years=max(archive.index.promises().years.values(), default=3),
        )
    finally:
        archive.close()
