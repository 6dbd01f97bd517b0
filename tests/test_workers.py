"""Children that misbehave: one family of errors, in time, and the next call finds a new child."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.workers import (
    Worker,
    WorkerDied,
    WorkerFailed,
    WorkerHung,
    WorkerPool,
    WorkerProblem,
    WorkerProgram,
    name_to_text,
    text_to_name,
)

pytestmark = pytest.mark.needs("processes")

#: Long enough for a Python to start on a busy machine.
PATIENT = 60.0
#: For a child that has started, and will not answer anyway.
IMPATIENT = 0.5

SERVES = "from archiver.workers import serve\nserve({})"
ECHO = SERVES.format("lambda request: request")
#: Answers the first request, which says that it has started, and misbehaves at the second; its socket is
#: descriptor 0.
AT_SECOND_REQUEST = """
import os, signal, struct, time
os.read(0, 1 << 20)
os.write(0, struct.pack("<II", 13, 0) + b'{{"answer":""}}')
os.read(0, 1 << 20)
{}
time.sleep(600)
"""


@contextmanager
def worker(code: str, **more: Any) -> Iterator[Worker]:
    """A child that runs ``code``: -c ends Python's options, so that the module's name is an argument of it."""
    made = Worker(WorkerProgram("unused", interpreter_options=("-P", "-c", code), **more))
    try:
        yield made
    finally:
        made.kill()
        assert made.is_gone


def as_it_is(value: Any) -> Any:
    return value


def text_only(value: Any) -> str:
    return str.strip(value)


@pytest.mark.parametrize(
    ("deed", "problem"),
    [
        ("os.write(0, b'x')", WorkerHung),
        ("", WorkerHung),
        ("os.kill(os.getpid(), signal.SIGSTOP)", WorkerHung),
        # A byte now and then is no progress: the deadline is for the whole answer.
        ("os.write(0, struct.pack('<II', 100, 0))\nwhile True: os.write(0, b' '); time.sleep(0.1)", WorkerHung),
        ("os.write(0, struct.pack('<II', 100, 0) + b'half')", WorkerHung),
        ("os.write(0, struct.pack('<II', 100, 0) + b'half'); os._exit(0)", WorkerDied),
        ("os.write(0, b'xx'); os._exit(0)", WorkerDied),
        ("os._exit(1)", WorkerDied),
        ("os.kill(os.getpid(), signal.SIGKILL)", WorkerDied),
        ("os.write(0, struct.pack('<II', 0xFFFFFFFF, 0))", WorkerFailed),
        ("os.write(0, struct.pack('<II', 7, 0) + b'garbage')", WorkerFailed),
        ("os.write(0, struct.pack('<II', 3, 0) + b'\\xff\\xfe\\xfd')", WorkerFailed),
        ("os.write(0, struct.pack('<II', 0, 0))", WorkerFailed),
        # Python's own JSON reader calls itself for each bracket.
        ("os.write(0, struct.pack('<II', 200000, 0) + b'[' * 200000)", WorkerFailed),
        ("os.write(0, struct.pack('<II', 4, 0) + b'null')", WorkerFailed),
        ("os.write(0, struct.pack('<II', 2, 0) + b'{}')", WorkerFailed),
        ("os.write(0, struct.pack('<II', 12, 0) + b'{\"answer\":1}')", WorkerFailed),
        ("os.write(0, struct.pack('<II', 13, 1) + b'{\"answer\":\"\"}x')", WorkerFailed),
        ("os.write(0, struct.pack('<II', 15, 0) + b'{\"answer\":null}')", WorkerFailed),
    ],
)
def test_what_is_no_answer_is_one_family_of_errors(deed: str, problem: type[WorkerProblem]) -> None:
    with worker(AT_SECOND_REQUEST.format(deed)) as child:
        child.call("have you started?", text_only, PATIENT)
        patience = IMPATIENT if problem is WorkerHung else PATIENT
        began = time.monotonic()
        with pytest.raises(problem) as caught:
            child.call("request", text_only, patience)
        assert time.monotonic() - began < patience + 10
        assert isinstance(caught.value, OSError)
        assert caught.value.strerror
        assert child.is_gone, "it could still answer, and pass for the answer to the next request"


def test_a_request_that_is_not_read_is_given_up() -> None:
    """A stopped child takes as much as the socket holds; the rest of the request waits for it."""
    with worker("import time; time.sleep(600)") as child, pytest.raises(WorkerHung):
        child.call("x" * (8 << 20), as_it_is, IMPATIENT)


def test_the_next_call_finds_a_new_child() -> None:
    code = SERVES.format("lambda request: os._exit(1) if request == 'end' else os.getpid()")
    with worker(f"import os\n{code}") as child:
        first = child.call("who", as_it_is, PATIENT)
        assert child.call("who", as_it_is, PATIENT) == first
        with pytest.raises(WorkerDied):
            child.call("end", as_it_is, PATIENT)
        assert child.call("who", as_it_is, PATIENT) != first


def test_an_exception_of_the_child_is_reported_and_the_child_goes_on() -> None:
    code = SERVES.format("lambda request: (os.getpid(), 1 // request)[0]")
    with worker(f"import os\n{code}") as child:
        first = child.call(1, as_it_is, PATIENT)
        with pytest.raises(WorkerFailed) as caught:
            child.call(0, as_it_is, PATIENT)
        assert caught.value.explanation.startswith("ZeroDivisionError")
        assert child.call(1, as_it_is, PATIENT) == first


def test_an_answer_that_no_json_can_hold_is_a_failure_of_the_child() -> None:
    with worker(SERVES.format("lambda request: b'bytes'")) as child, pytest.raises(WorkerFailed, match="Protocol"):
        child.call(1, as_it_is, PATIENT)


def test_a_child_that_cannot_be_started_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    with worker(ECHO) as child:
        for program in ("/dev/null", "/bin/false"):
            monkeypatch.setattr(sys, "executable", program)
            with pytest.raises(WorkerDied):
                child.call(1, as_it_is, PATIENT)
        monkeypatch.undo()
        assert child.call(1, as_it_is, PATIENT) == 1


def test_a_child_for_which_there_is_no_descriptor_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socketpair", refuse)
    with worker(ECHO) as child, pytest.raises(WorkerDied):
        child.start()


def test_what_a_child_prints_is_no_answer() -> None:
    """A parser may print whatever it likes."""
    with worker(SERVES.format("lambda request: print('x' * 100_000, flush=True)")) as child:
        assert child.call(1, as_it_is, PATIENT) is None


def test_an_answer_has_a_longest_length() -> None:
    # The frame holds {"answer":"..."} around the text: 13 bytes.
    with worker(SERVES.format("lambda count: 'x' * count"), longest_answer_bytes=1013) as child:
        assert len(child.call(1000, text_only, PATIENT)) == 1000
        with pytest.raises(WorkerFailed):
            child.call(1001, text_only, PATIENT)


def test_a_ctrl_c_during_a_call_leaves_no_answer_behind() -> None:
    def interrupted(value: Any) -> Any:
        raise KeyboardInterrupt

    with worker(ECHO) as child:
        with pytest.raises(KeyboardInterrupt):
            child.call(1, interrupted, PATIENT)
        assert child.is_gone


WITH_CONTENT = """
import os
from archiver.workers import WithContent, serve
serve(lambda count: WithContent(count, os.urandom(1) * count))
"""


def test_content_is_received_into_a_buffer() -> None:
    buffer = memoryview(bytearray(3_000_000))
    with worker(WITH_CONTENT) as child:
        for count in (3_000_000, 5, 0):
            assert child.call_for_content(count, int, buffer, PATIENT) == (count, count)
            assert bytes(buffer[:count]) == bytes(buffer[:1]) * count
        with pytest.raises(WorkerFailed):
            child.call_for_content(3_000_001, int, buffer, PATIENT)
        assert child.is_gone


@pytest.mark.parametrize(("deed", "problem"), [("", WorkerHung), ("os._exit(0)", WorkerDied)])
def test_content_that_does_not_come_is_given_up(deed: str, problem: type[WorkerProblem]) -> None:
    code = AT_SECOND_REQUEST.format(f"os.write(0, struct.pack('<II', 12, 9) + b'{{\"answer\":1}}half')\n{deed}")
    with worker(code) as child:
        child.call("have you started?", text_only, PATIENT)
        with pytest.raises(problem):
            child.call_for_content(1, int, memoryview(bytearray(9)), IMPATIENT if not deed else PATIENT)


def test_large_answers_arrive_whole() -> None:
    with worker(SERVES.format("lambda count: '材' * count")) as child:
        assert child.call(3_000_000, as_it_is, PATIENT) == "材" * 3_000_000


@pytest.fixture(scope="module")
def echo() -> Iterator[Worker]:
    with worker(ECHO) as child:
        yield child


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60)))
def test_names_travel_whatever_their_bytes(echo: Worker, names: list[bytes]) -> None:
    texts = echo.call([name_to_text(name) for name in names], as_it_is, PATIENT)
    assert [text_to_name(text) for text in texts] == names


@settings(max_examples=200)
@given(st.text(st.characters(codec=None)))
def test_text_travels_with_lone_surrogates(echo: Worker, text: str) -> None:
    """Text of a document may hold halves of a pair, side by side."""
    assert echo.call(text, as_it_is, PATIENT) == text


def test_a_pool_has_a_child_for_each_thread_and_ends_them() -> None:
    code = SERVES.format("lambda request: os.getpid()")
    pool = WorkerPool(WorkerProgram("unused", interpreter_options=("-P", "-c", f"import os\n{code}")))
    children: dict[int, set[int]] = {}

    def call() -> None:
        own = {pool.call(None, as_it_is, PATIENT) for _ in range(5)}
        children[threading.get_ident()] = own

    threads = [threading.Thread(target=call) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set.union(*children.values())) == 3
    assert all(len(own) == 1 for own in children.values())
    pool.close()
    for (child,) in children.values():
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_closing_does_not_wait_for_a_child_that_is_stopped() -> None:
    with worker(SERVES.format("lambda request: os.getpid()").join(["import os\n", ""])) as child:
        os.kill(child.call(None, as_it_is, PATIENT), signal.SIGSTOP)
        child.close()
        assert child.is_gone


def test_children_end_with_their_parent() -> None:
    """Also where the parent is killed, and can tell them nothing."""
    parent = """
import os, sys
from archiver.workers import Worker, WorkerProgram
children = [Worker(WorkerProgram("x", interpreter_options=("-c", sys.argv[1]))) for _ in range(2)]
print(*[child.call(None, int, 60) for child in children], flush=True)
sys.stdin.read()
"""
    child = "import os\n" + SERVES.format("lambda request: os.getpid()")
    with subprocess.Popen(
        [sys.executable, "-c", parent, child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        children = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    assert len(children) == 2
    deadline = time.monotonic() + 20
    while any(map(_runs, children)):
        assert time.monotonic() < deadline, "they wait for a parent that is gone"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as status:
            # Z: ended; whoever is init here may never collect it.
            return status.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
