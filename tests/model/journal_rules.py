"""What holds for every event and for every signed head, by a simple statement of docs/adr/0012-format-2.md."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Collection
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archiver.clock import ClockReading
from tests.model.raw_journal import RawEvent, sha256_of
from tests.model.reference import ReferenceState
from tests.model.retention_rules import compliance_time

_GENESIS = "sha256:" + "0" * 64
_HEAD_NAMESPACE = b"archiver-head"
_DATA_FILES = {"event.json", "body.json", "head.json", "head.sig"}


def check_event(state: ReferenceState, event: RawEvent, reading: ClockReading) -> None:
    """Raise AssertionError unless the event follows ``state``; the clocks showed ``reading`` when it was written."""
    visible = event.visible
    assert event.format == 2, f"{event} is of another format"
    assert event.seq == state.seq + 1, f"{event} after event {state.seq}"
    assert visible["prev"].removeprefix("sha256:") == state.digest.removeprefix("sha256:"), f"{event}: prev"
    assert visible["body"] == sha256_of(event.files["body.json"]), f"{event}: body"
    attachments = {item["name"]: item["digest"] for item in event.body["attachments"]}
    attached = {name: sha256_of(data) for name, data in event.files.items() if name not in _DATA_FILES}
    assert attachments == attached, f"{event}: attachments"
    _check_clock(state, event, reading)
    _check_chain(state, event)


def _check_clock(state: ReferenceState, event: RawEvent, reading: ClockReading) -> None:
    """Check that the compliance clock advanced by the time on which all clocks agree."""
    shown = {
        "wall": reading.wall.isoformat(),
        "boot_id": reading.boot_id,
        "boottime_ns": reading.boottime_ns,
        "uptime_ns": reading.uptime_ns,
        "shifted": reading.shifted,
    }
    stated = {**event.clock, **{name: int(event.clock[name]) for name in ("boottime_ns", "uptime_ns")}}
    wall_text = reading.wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert stated == shown | {"wall": wall_text, "time": event.clock["time"]}, f"{event}: clock"
    assert event.at == wall_text, f"{event}: at"
    expected = compliance_time(state.clock, shown)
    assert event.clock["time"] == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), f"{event}: compliance clock"
    assert event.clock["time"] >= state.clock["time"], f"{event}: the compliance clock went back"


def _check_chain(state: ReferenceState, event: RawEvent) -> None:
    """Check number and predecessor in the event's chain, and that a filing has one chain."""
    chain = event.visible["chain"]
    number, digest = state.chain_heads.get(chain, (0, _GENESIS))
    assert (event.visible["n"], event.visible["chain_prev"]) == (number + 1, digest), f"{event}: chain"
    if chain not in ("archive", "house"):
        assert state.chain_by_filing.get(event.filing, chain) == chain, f"{event}: its filing has another chain"
        others = [filing for filing, known in state.chain_by_filing.items() if known == chain]
        assert others in ([], [event.filing]), f"{event}: its chain is that of {others}"


class AbandonedHeads(NamedTuple):
    """The heads that were signed in vain, by their digests."""

    #: Before the act: the next head must name them.
    earlier: Collection[str]
    #: During the act and the recovery after it: a head after them must name them.
    recent: Collection[str]


def check_head(earlier: ReferenceState, state: ReferenceState, event: RawEvent, abandoned: AbandonedHeads) -> None:
    """Check the signed head in the commit of ``event``, which is the newest one of ``state``.

    ``earlier`` is the state before the batch.
    """
    head = json.loads(event.files["head.json"])
    lines = [
        json.dumps([chain, number, digest], separators=(",", ":")) + "\n"
        for chain, (number, digest) in sorted(state.chain_heads.items())
    ]
    expected: dict[str, Any] = {
        "archive": state.first_digest,
        "format": 2,
        "first": earlier.covered_seq + 1 if earlier.covered_seq else state.first_chained_seq,
        "batch": earlier.seq + 1,
        "last": event.seq,
        "event": event.digest,
        "chain_heads": sha256_of("".join(lines).encode()),
        "chains": len(state.chain_heads),
        "previous_head": earlier.head_digest,
    }
    assert {name: head[name] for name in expected} == expected, f"{event}: signed head"
    named = set(head.get("abandoned", []))
    assert set(abandoned.earlier) <= named, f"{event}: abandoned heads are missing"
    assert named <= {*abandoned.earlier, *abandoned.recent}, f"{event} names abandoned heads that there are not"


def check_signature(event: RawEvent, public_key: str) -> None:
    """Raise AssertionError or InvalidSignature unless the key (base64) signed the head of ``event``."""
    head, armored = event.files["head.json"], event.files["head.sig"].decode()
    fingerprint = base64.b64encode(hashlib.sha256(base64.b64decode(public_key)).digest()).decode().rstrip("=")
    assert json.loads(head)["key"] == f"SHA256:{fingerprint}", f"{event}: key"
    blob = base64.b64decode("".join(armored.splitlines()[1:-1]))
    assert blob[:10] == b"SSHSIG" + struct.pack(">I", 1), f"{event}: signature"
    key, namespace, reserved, algorithm, signature = _strings(blob[10:])
    assert (base64.b64encode(key).decode(), namespace) == (public_key, _HEAD_NAMESPACE), f"{event}: signature"
    digest = hashlib.new(algorithm.decode(), head).digest()
    signed = b"SSHSIG" + b"".join(map(_string, (namespace, reserved, algorithm, digest)))
    Ed25519PublicKey.from_public_bytes(_strings(key)[1]).verify(_strings(signature)[1], signed)


def public_key_of(private_key: bytes) -> str | None:
    """Return the public key (base64) in a private key of OpenSSH; None for anything else."""
    lines = private_key.split()
    try:
        blob = base64.b64decode(b"".join(lines[4:-4]), validate=True)
        header = b"openssh-key-v1\0"
        if not blob.startswith(header):
            return None
        # Cipher, key derivation and its options, each a string; then the number of keys, and the public key.
        _cipher, _derivation, _options = _strings(blob[len(header) :], 3)
        rest = blob[len(header) + sum(4 + len(each) for each in (_cipher, _derivation, _options)) + 4 :]
        return base64.b64encode(_strings(rest, 1)[0]).decode()
    except (ValueError, IndexError, struct.error):
        return None


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _strings(data: bytes, count: int | None = None) -> list[bytes]:
    """Return the strings of the SSH protocol at the beginning of ``data``: all of them, or ``count``."""
    strings: list[bytes] = []
    while data and len(strings) != count:
        (length,) = struct.unpack(">I", data[:4])
        strings.append(data[4 : 4 + length])
        data = data[4 + length :]
    return strings
