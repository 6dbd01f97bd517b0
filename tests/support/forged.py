"""Events as this release would never write them: of a newer one, of one with a fault, or of a forger."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.site import UNGUARDED, Site

#: Details nested 980 deep: Python writes them from some places, and reads them back from fewer.
DEEP = {"deep": "@"}


def append(
    site: Site,
    change: Callable[[dict[str, Any]], object] = lambda event: None,
    data: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
) -> int:
    """Append one event with plain git; returns its number.

    ``change`` alters what would be a whole event of the action ``restore``; ``data`` takes its place.
    """
    tip = site.git("rev-parse", "journal").stdout.strip()
    seq = int(site.git("rev-list", "--count", "--first-parent", "journal").stdout) + 1
    before = subprocess.run(
        ["git", f"--git-dir={site.repository}", "cat-file", "blob", f"{tip}:event.json"],
        capture_output=True,
        check=True,
    ).stdout
    if data is None:
        event = json.loads(before)
        event |= {
            "seq": seq,
            "prev": hashlib.sha256(before).hexdigest(),
            "action": "restore",
            "object": "f/s/v1",
            "details": {},
            "refs": {},
            "attachments": [
                {"name": name, "sha256": hashlib.sha256(text).hexdigest(), "size": len(text)}
                for name, text in (files or {}).items()
            ],
        }
        change(event)
        data = canonical(event)
    listing = []
    for name, text in sorted({"event.json": data, **(files or {})}.items()):
        blob = site.root / "forged"
        blob.write_bytes(text)
        oid = site.git("hash-object", "-w", "--no-filters", os.fspath(blob)).stdout.strip()
        listing.append(f"100644 blob {oid}\t{name}\n")
    mktree = ["git", f"--git-dir={site.repository}", "mktree"]
    tree = subprocess.run(
        mktree, input="".join(listing), capture_output=True, text=True, check=True
    ).stdout.strip()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    commit = site.git(*identity, "commit-tree", "-p", tip, "-m", "x", tree).stdout.strip()
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", commit)
    return seq


def canonical(event: dict[str, Any]) -> bytes:
    """The form of the journal, written here once more."""
    text = json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    text = text.replace('"deep":"@"', '"a":{' * 979 + "}" * 979)
    return text.encode("utf-8", "surrogatepass")
