"""The replay of chains and heads, judged by a model that was written without it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.store.events import event_files
from archiver.store.events.canonical_json import encode_canonical
from archiver.verify import chain_replay
from archiver.verify.chain_replay import ChainReplay, read_chain_place, sha256_digest
from tests.support.journal_model import Commit, Model, canonical

SOURCE = Path(chain_replay.__file__).read_text("utf-8")
CHAINS = ("archive", "house", "ab" * 16, "cd" * 16, "0" * 32)


def test_it_runs_with_an_old_python_and_nothing_else() -> None:
    """It goes into packages, which are checked for decades on machines that nobody here knows."""
    tree = ast.parse(SOURCE, feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node) for node in imports} == {
        "from __future__ import annotations",
        "import datetime",
        "import hashlib",
        "import json",
        "from typing import Any",
    }


# --- work that is as it should be


class Pair:
    """A journal that the replay and the model follow together."""

    def __init__(self) -> None:
        self.replay, self.model = ChainReplay(), Model()

    def add(self, chain: str, **changes: Any) -> tuple[bool, bool]:
        number, chain_prev = self.model.place(chain)
        event = {"chain": chain, "n": number, "chain_prev": chain_prev, "seq": self.model.newest[0] + 1, **changes}
        data = canonical(event)
        self.model.take(Commit("", {"event.json": data, "body.json": b"{}"}))
        self.replay.first_event_digest = self.model.archive
        return self.replay.add_event(event, sha256_digest(data), self.model.newest[0])

    def head(self, **changes: Any) -> list[str]:
        head = {**self.model.next_head("SHA256:key", self.model.newest[0]), **changes}
        data = canonical({name: value for name, value in head.items() if value is not None})
        self.model.take_head(data)
        return self.replay.compare_head(data)


#: Batches of events, each of which ends with a head or not.
JOURNAL = st.lists(st.tuples(st.lists(st.sampled_from(CHAINS), min_size=1, max_size=5), st.booleans()), max_size=8)


@given(JOURNAL)
def test_it_confirms_every_journal_of_the_model(journal: list[tuple[list[str], bool]]) -> None:
    pair = Pair()
    for chains, has_head in journal:
        for chain in chains:
            assert pair.add(chain) == (True, True)
        if has_head:
            assert pair.head() == []
    assert pair.replay.heads == pair.model.chains
    assert (pair.replay.covered_seq, pair.replay.head_digest) == (pair.model.covered, pair.model.head)
    uncovered = pair.model.newest[0] - pair.model.covered
    assert (pair.replay.covered_seq == pair.replay.newest_seq) == (uncovered == 0)
    if journal:
        assert pair.replay.first_uncovered_seq() == pair.model.covered + 1


def test_events_of_format_1_before_it_are_counted_by_nobody() -> None:
    """The caller only passes on those of format 2; the first head begins with the first of them."""
    replay = ChainReplay()
    replay.first_event_digest = sha256_digest(b"the first event of format 1")
    data = canonical({"chain": "archive", "n": 1, "chain_prev": chain_replay.GENESIS})
    assert replay.add_event(json.loads(data), sha256_digest(data), 101) == (True, True)
    assert replay.first_uncovered_seq() == 101
    assert replay.compare_head(b"{}") == sorted(
        ["archive", "chain_heads", "chains", "event", "first", "format", "last", "previous_head"]
    )
    assert replay.first_uncovered_seq() == 102


# --- work that is not


@pytest.mark.parametrize("number", [1, 2, 4, 10**11])
def test_a_number_that_is_not_the_next_one_is_told_once(number: int) -> None:
    """The chain goes on from it, so that one gap is one finding."""
    pair = Pair()
    for _ in range(2):
        pair.add("house")
    assert pair.add("house", n=number) == (False, True)
    assert pair.add("house") == (True, True)
    assert pair.head() == []


def test_another_predecessor_is_told_once() -> None:
    pair = Pair()
    for chain in ("house", "archive"):
        pair.add(chain)
    assert pair.add("house", chain_prev=pair.model.chains["archive"][1]) == (True, False)
    assert pair.add("house") == (True, True)
    assert pair.head() == []


@pytest.mark.parametrize(
    "place",
    [
        {"chain": "f"},
        {"chain": None},
        {"chain": ["archive"]},
        {"chain": "AB" * 16},
        {"chain": "ab" * 17},
        {"n": 0},
        {"n": -1},
        {"n": True},
        {"n": "1"},
        {"n": 1.0},
        {"n": 10**12},
    ],
    ids=str,
)
def test_an_event_that_states_no_place_is_in_no_chain(place: dict[str, Any]) -> None:
    pair = Pair()
    pair.add("house")
    event = {"chain": "house", "n": 2, "chain_prev": pair.model.chains["house"][1], **place}
    data = canonical(event)
    assert read_chain_place(event) is None
    assert pair.replay.add_event(event, sha256_digest(data), 2) == (True, True)
    # A head covers it all the same, as an event of the whole journal.
    pair.model.newest = (2, sha256_digest(data))
    assert pair.head() == []
    assert pair.add("house") == (True, True)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**13)
    | st.sampled_from([*CHAINS, "", "f", "AB" * 16])
    | st.text(),
    lambda children: st.lists(children, max_size=2),
    max_leaves=3,
)


@given(
    st.fixed_dictionaries({}, optional={"chain": ANYTHING, "n": ANYTHING, "chain_prev": ANYTHING, "x": ANYTHING})
)
def test_writer_and_replay_have_one_rule_for_the_place(event: dict[str, Any]) -> None:
    """Else the next event of the chain would be a finding that nobody made."""
    place = event_files.read_chain_place(encode_canonical(event))
    assert read_chain_place(event) == (None if place is None else (place.chain, place.number))


# --- heads


MEMBERS = {
    "archive": "sha256:" + "1" * 64,
    "format": 3,
    "first": 2,
    "last": 2,
    "event": "sha256:" + "1" * 64,
    "chain_heads": "sha256:" + "1" * 64,
    "chains": 9,
    "previous_head": "sha256:" + "1" * 64,
}


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("is_missing", [False, True])
def test_a_member_that_states_something_else_is_named_alone(name: str, is_missing: bool) -> None:
    pair = Pair()
    for chain in CHAINS:
        pair.add(chain)
    assert pair.head(**{name: None if is_missing else MEMBERS[name]}) == [name]
    # The next one is compared with this one as it is.
    pair.add("house")
    assert pair.head() == []


@pytest.mark.parametrize("name", ["key", "batch", "abandoned", "x-note"])
def test_what_events_do_not_show_is_not_compared(name: str) -> None:
    pair = Pair()
    pair.add("house")
    assert pair.head(**{name: ["anything"]}) == []


def test_a_head_that_is_named_as_abandoned_is_no_head_of_the_journal() -> None:
    """Whichever of both comes first."""
    pair = Pair()
    pair.add("house")
    assert pair.head() == []
    present = pair.replay.head_digest
    pair.add("house")
    assert pair.head(abandoned=[present]) == ["abandoned"]
    # The fault is named once.
    pair.add("house")
    assert pair.head() == []
    pair.add("house")
    later = canonical(pair.model.next_head("SHA256:key", pair.model.newest[0]))
    pair.replay.abandoned_digests.add(sha256_digest(later))
    assert pair.replay.compare_head(later) == ["abandoned"]


@pytest.mark.parametrize("value", [None, 1, [["list"]], [{}]])
def test_something_abandoned_that_is_no_list_of_texts_differs(value: Any) -> None:
    pair = Pair()
    pair.add("house")
    head = {**pair.model.next_head("SHA256:key", pair.model.newest[0]), "abandoned": value}
    assert pair.replay.compare_head(canonical(head)) == sorted(MEMBERS)


def test_an_unknown_member_is_named() -> None:
    pair = Pair()
    pair.add("house")
    assert pair.head(until="2030") == ["until"]


@pytest.mark.parametrize("data", [b"", b"head", b"[]", b"1", b"null", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_head_differ_in_everything(data: bytes) -> None:
    pair = Pair()
    pair.add("house")
    assert pair.replay.compare_head(data) == sorted(MEMBERS)
    pair.model.take_head(data)
    pair.add("house")
    assert pair.head() == []
