"""A package in the hands of a forger: altered at will, with manifests that fit again, and with or without the key."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from archiver.store.keys import SigningKey
from tests.support.site import CHECKOUT

SOURCE = CHECKOUT / "archiver/audit/resources/verify.py"
JOURNAL, BODIES, HEADS = "data/journal.jsonl", "data/bodies.jsonl", "data/heads.jsonl"
GENESIS = "sha256:" + "0" * 64


@cache
def verifier() -> ModuleType:
    """The verifier of the checkout, in this process: to start Python for each of many checks takes its time."""
    spec = importlib.util.spec_from_file_location("package_verifier", SOURCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Bytecode beside the resources would go into the distribution.
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def sentence(key: str, *values: object) -> str:
    """A sentence of the verifier."""
    return str(verifier().TEXT[key][0].format(*values))


def encode(document: dict[str, Any]) -> bytes:
    """Canonical JSON, written here once more."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8") + b"\n"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class AlteredPackage:
    """A folder with a package, which a test may alter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str) -> list[bytes]:
        """The lines of a file, each with its line feed."""
        return (self.folder / name).read_bytes().splitlines(keepends=True)

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)

    def write_lines(self, name: str, lines: list[bytes]) -> None:
        self.write(name, b"".join(lines))

    def replace(self, name: str, old: bytes, new: bytes) -> None:
        data = (self.folder / name).read_bytes()
        assert old in data
        self.write(name, data.replace(old, new, 1))

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def head_numbers(self) -> list[int]:
        """The numbers of the events with a signed head."""
        return [json.loads(line)["last"] for line in self.lines(HEADS)]

    def action_numbers(self, action: str) -> list[int]:
        """The numbers of the events of a kind, of format 2."""
        return [
            number
            for number, line in enumerate(self.lines(BODIES), 1)
            if line != b"\n" and json.loads(line)["action"] == action
        ]

    def findings(self, witness: str | None = None) -> list[tuple[str, str]]:
        """Make the manifests fit, and return what the verifier finds: pairs of a place and a sentence."""
        # One algorithm is enough for a package.
        for name in ("manifest-sm3.txt", "tagmanifest-sm3.txt"):
            (self.folder / name).unlink(missing_ok=True)
        self._write_manifest("manifest-sha256.txt", lambda path: path.startswith("data/"))
        self._write_manifest("tagmanifest-sha256.txt", lambda path: not path.startswith(("data/", "tagmanifest-")))
        module = verifier()
        module.HERE = os.fspath(self.folder)  # type: ignore[attr-defined]
        self.checker = module.Checker("en")
        module.check(self.checker, witness)
        found: list[tuple[str, str]] = self.checker.findings
        return found

    def _write_manifest(self, name: str, is_listed: Any) -> None:
        paths = (os.fspath(path.relative_to(self.folder)) for path in self._files())
        lines = [
            f"{hashlib.sha256((self.folder / path).read_bytes()).hexdigest()}  {path}\n"
            for path in sorted(paths)
            if is_listed(path)
        ]
        (self.folder / name).write_text("".join(lines), "utf-8")

    def _files(self) -> Iterator[Path]:
        return (path for path in self.folder.rglob("*") if path.is_file())


class ForgedJournal:
    """The events of a package of format 2, to be altered and linked anew by somebody who has the key.

    An independent model of the format: nothing in here is the program's own code but the signature.
    """

    def __init__(self, package: AlteredPackage, key: SigningKey) -> None:
        """Read the events; ``key`` signs all heads, also where it was not in force."""
        self.package = package
        self.key = key
        self.events = [json.loads(line) for line in package.lines(JOURNAL)]
        self.bodies: list[dict[str, Any] | None] = [
            json.loads(line) if line != b"\n" else None for line in package.lines(BODIES)
        ]
        self.head_numbers = package.head_numbers()
        #: Number of an event -> members of its head that state something else than the events show.
        self.head_changes: dict[int, dict[str, Any]] = {}
        self.namespace = "archiver-head"

    def body(self, action: str) -> dict[str, Any]:
        """The newest body of a kind."""
        return next(body for body in reversed(self.bodies) if body is not None and body["action"] == action)

    def number(self, action: str) -> int:
        """The number of the newest event of a kind."""
        return next(
            n for n in range(len(self.bodies), 0, -1) if (self.bodies[n - 1] or {}).get("action") == action
        )

    def drop(self, number: int) -> None:
        """Leave an event out; heads move to the events that are there."""
        del self.events[number - 1], self.bodies[number - 1]
        numbers = (last if last < number else last - 1 for last in self.head_numbers)
        self.head_numbers = sorted(set(numbers) - {0})

    def link(self, *, with_chains: bool = True) -> AlteredPackage:
        """Write the events with numbers, digests and heads that fit; ``with_chains`` also those of the chains."""
        lines: list[bytes] = []
        heads: dict[str, tuple[int, str]] = {}
        head_lines: list[bytes] = []
        first = 0
        for number, (event, body) in enumerate(zip(self.events, self.bodies, strict=True), 1):
            if body is not None:
                first = first or number
                event["seq"], event["prev"] = number, digest(lines[-1]) if lines else GENESIS
                event["body"] = digest(encode(body))
                count, before = heads.get(str(event["chain"]), (0, GENESIS))
                if with_chains:
                    event["n"], event["chain_prev"] = count + 1, before
            lines.append(encode(event))
            if body is not None and isinstance(event["chain"], str):
                heads[event["chain"]] = (event["n"], digest(lines[-1]))
            if number in self.head_numbers:
                chains = "".join(
                    json.dumps([name, *head], separators=(",", ":")) + "\n" for name, head in sorted(heads.items())
                )
                head_lines.append(
                    encode(
                        {
                            "archive": digest(lines[0]),
                            "format": 2,
                            "first": first,
                            "batch": first,
                            "last": number,
                            "event": digest(lines[-1]),
                            "chain_heads": digest(chains.encode()),
                            "chains": len(heads),
                            "key": self.key.fingerprint,
                            "previous_head": digest(head_lines[-1]) if head_lines else GENESIS,
                            **self.head_changes.get(number, {}),
                        }
                    )
                )
                first = number + 1
        self._write(lines, head_lines)
        return self.package

    def _write(self, lines: list[bytes], head_lines: list[bytes]) -> None:
        package = self.package
        package.write_lines(JOURNAL, lines)
        package.write_lines(BODIES, [b"\n" if body is None else encode(body) for body in self.bodies])
        package.write_lines(HEADS, head_lines)
        for path in (package.folder / "data/heads").iterdir():
            path.unlink()
        for number, head in zip(self.head_numbers, head_lines, strict=True):
            signature = self.key.sign(head, self.namespace).encode("ascii")
            package.write(f"data/heads/{number}.sig", signature)
