"""The two files of an event in format 2: what is written comes back, and nothing else is taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.store.events import chains, digests, event_files
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.chains import ChainHead, ChainPosition, EventClass
from archiver.store.events.event_files import BodyFields

_DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
_OID = st.binary(min_size=20, max_size=20).map(bytes.hex)
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_BODIES = st.builds(
    BodyFields,
    action=st.sampled_from(["capture", "hold", "tick"]),
    object=_TEXT,
    details=st.dictionaries(_TEXT, st.one_of(_TEXT, st.integers(-(1 << 40), 1 << 40), st.booleans(), st.none())),
    actor=st.just({"uid": 1000, "user": "wang.min", "program": "archiver 0.1.0"}),
    refs=st.dictionaries(st.just("refs/tags/x"), _OID),
    attachments=st.lists(st.tuples(_TEXT, _DIGEST, st.integers(0, 1 << 40)), max_size=3).map(tuple),
)
_POSITIONS = st.builds(
    ChainPosition,
    chain=st.one_of(st.sampled_from(["archive", "house"]), st.binary(min_size=16, max_size=16).map(bytes.hex)),
    number=st.integers(1, 1 << 30),
    previous_digest=_DIGEST.map(lambda digest: f"sha256:{digest}"),
)


def reading() -> dict[str, Any]:
    now = clock.read_clocks()
    return clock.make_evidence(now.wall, now)


_FIRST_OF_ARCHIVE = chains.begin_chain("archive")


def visible(body: bytes, position: ChainPosition = _FIRST_OF_ARCHIVE, seq: int = 7) -> bytes:
    return event_files.encode_visible(
        seq=seq,
        at=clock.format_time(clock.read_clocks().wall),
        clock=reading(),
        prev="ab" * 32,
        position=position,
        event_class=EventClass.ACT,
        body=body,
    )


@given(_BODIES)
def test_a_body_comes_back(fields: BodyFields) -> None:
    assert event_files.decode_body(event_files.encode_body(fields)) == fields


@given(_POSITIONS, st.integers(1, 10**11))
def test_the_visible_part_comes_back(position: ChainPosition, seq: int) -> None:
    body = event_files.encode_body(BodyFields("tick", "clock", {}, {"uid": 0, "user": "root"}, {}, ()))
    fields = event_files.decode_visible(visible(body, position, seq))
    assert (fields.seq, fields.position, fields.prev) == (seq, position, "ab" * 32)
    assert fields.body_sha256 == digests.parse_sha256(digests.compute_sha256(body))
    assert fields.clock.keys() == reading().keys()
    assert isinstance(fields.clock["boottime_ns"], int)


def test_two_bodies_of_the_same_fields_differ() -> None:
    """Else somebody could guess what is in a body whose digest is visible."""
    fields = BodyFields("hold", "推荐", {"name": "抽查"}, {"uid": 0, "user": "root"}, {}, ())
    assert event_files.encode_body(fields) != event_files.encode_body(fields)


def test_the_program_before_finds_no_action_and_stops() -> None:
    document = json.loads(visible(b"{}"))
    assert "action" not in document
    assert event_files.is_format_2(document)


def _altered(name: str, value: Any) -> bytes:
    return encode_canonical({**json.loads(visible(b"{}")), name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 3),
        ("format", "2"),
        ("seq", 0),
        ("seq", True),
        ("n", 1 << 63),
        ("at", "yesterday"),
        ("chain", "推荐"),
        ("chain", "ab" * 15),
        ("chain_prev", "ab" * 32),
        ("prev", "sha1:" + "ab" * 20),
        ("class", "decree"),
        ("body", None),
        ("clock", {}),
        ("future", "critical"),
    ],
)
def test_what_is_not_of_this_format_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        event_files.decode_visible(_altered(name, value))


def test_members_for_others_are_passed_over() -> None:
    assert event_files.decode_visible(_altered("x-note", "anything")).seq == 7


@pytest.mark.parametrize("name", ["boottime_ns", "uptime_ns"])
@pytest.mark.parametrize("value", [5, "5.0", "05", "-1", "", "9" * 20])
def test_nanoseconds_are_decimal_text(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="decimal"):
        event_files.decode_visible(_altered("clock", {**json.loads(visible(b"{}"))["clock"], name: value}))


def test_a_repeated_member_is_refused() -> None:
    """One parser takes the first value, another the last."""
    data = visible(b"{}")
    with pytest.raises(ValueError, match="canonical"):
        event_files.decode_visible(data.replace(b'"seq":7', b'"seq":7,"seq":8'))


def test_the_digest_of_chain_heads_does_not_depend_on_their_order() -> None:
    heads = [ChainHead(chains.create_filing_chain(), number, digests.GENESIS) for number in range(1, 9)]
    assert chains.digest_chain_heads(heads) == chains.digest_chain_heads(reversed(heads))
    assert chains.digest_chain_heads(heads) != chains.digest_chain_heads(heads[:-1])


def test_positions_follow_each_other() -> None:
    first = chains.begin_chain("house")
    head = ChainHead(first.chain, first.number, "sha256:" + "1" * 64)
    assert head.following_position() == ChainPosition("house", 2, "sha256:" + "1" * 64)
