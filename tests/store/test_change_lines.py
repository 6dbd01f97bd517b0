"""The lines of changes.jsonl: the quick form of plain lines is canonical JSON, byte for byte."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from archiver.model import Change, Op
from archiver.store.events.canonical_json import encode_text, is_canonical
from archiver.store.events.change_lines import encode_change_lines, parse_change_lines

DIGEST = "0123456789abcdef" * 4
PATHS = st.one_of(
    st.binary(min_size=1, max_size=30),
    st.text(min_size=1, max_size=30).map(lambda t: t.encode("utf-8", "replace")),
)
NUMBERS = st.integers(-(2**70), 2**70)
SIZES = st.integers(0, 2**63 - 1)


def plain(op: Op, path: bytes, size: int, mtime_ns: int) -> Change:
    return Change(op, path, DIGEST, size, mtime_ns)


CHANGES = st.one_of(
    st.builds(plain, st.sampled_from([Op.ADD, Op.MODIFY]), PATHS, SIZES, NUMBERS),
    st.builds(plain, st.just(Op.DELETE), PATHS, SIZES, st.just(0)),
    st.builds(lambda op, path: Change(op, path), st.sampled_from([Op.MKDIR, Op.RMDIR]), PATHS).map(
        lambda change: change._replace(mtime_ns=0)
    ),
    st.builds(
        lambda old, new, number: Change(Op.RENAME, new, DIGEST, 5, number, old, "cut"), PATHS, PATHS, NUMBERS
    ),
)


@given(st.lists(CHANGES, max_size=8))
@example([Change(Op.ADD, '材料 "x"\\\x01\x7f\n%41'.encode() + b"\xff", DIGEST, 0, -1)])
def test_every_line_is_canonical_and_comes_back(changes: list[Change]) -> None:
    lines = list(encode_change_lines(changes))
    for line in lines:
        assert is_canonical(json.loads(line), line)
    assert list(parse_change_lines(lines)) == changes


@given(st.text())
def test_a_text_is_as_in_a_document(text: str) -> None:
    document = json.dumps({"a": text}, ensure_ascii=False, separators=(",", ":"))
    assert document == '{"a":' + encode_text(text) + "}"
