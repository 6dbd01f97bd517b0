"""docs/threads.md names every place that starts a thread or a process, and no other."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from tests.support.site import CHECKOUT
from tests.support.syntax_trees import nodes_of_module

#: What starts one, called by its name or as an attribute of its module.
_STARTERS = {
    *(
        "Thread",
        "Timer",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "Observer",
        "start_http_server",
        "ReaderPool",
    ),
    *("Popen", "Worker", "WorkerPool", "fork", "forkpty", "posix_spawn", "posix_spawnp"),
}
#: Names that much else has too: they count with the module that they are taken from.
_STARTERS_OF = {
    "subprocess": {"run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"},
    "os": {"system", "popen", "spawnl", "spawnv"},
    "multiprocessing": {"Process", "Pool"},
    "asyncio": {"run", "to_thread", "create_subprocess_exec", "create_subprocess_shell"},
}
_ROW = re.compile(r"^\| `([\w/]+\.py)` \| `(\w+)`(?: × (\d+))? \|", re.MULTILINE)


def starters(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """What starts a thread or a process in a module, once for each call."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(ast.Name(module), name) if name in _STARTERS_OF.get(module, ()):
                yield name
            case ast.Name(name) | ast.Attribute(_, name) if name in _STARTERS:
                yield name
            # GitPython's way to start git and not to wait for it.
            case ast.Attribute(_, "execute") if any(word.arg == "as_process" for word in node.keywords):
                yield "execute"


def test_every_thread_and_every_child_is_in_the_tables() -> None:
    package = CHECKOUT / "archiver"
    in_code = Counter(
        (str(path.relative_to(package)), name)
        for path in package.rglob("*.py")
        for name in starters(nodes_of_module(path))
    )
    in_tables = Counter[tuple[str, str]]()
    for module, name, times in _ROW.findall((CHECKOUT / "docs/threads.md").read_text("utf-8")):
        in_tables[module, name] += int(times or 1)
    assert in_code == in_tables


def test_the_owners_are_classes_of_the_program() -> None:
    """A class that was renamed is renamed in the tables too."""
    classes = {
        node.name
        for path in (CHECKOUT / "archiver").rglob("*.py")
        for node in nodes_of_module(path)
        if isinstance(node, ast.ClassDef)
    }
    rows = [line.split(" | ") for line in (CHECKOUT / "docs/threads.md").read_text("utf-8").splitlines()]
    owners = {name for row in rows if len(row) == 5 for name in re.findall(r"`([A-Z]\w+)", row[2])}
    assert len(owners) > 10
    assert owners <= classes


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("threading.Thread(target=print).start()", ["Thread"]),
        ("Thread(target=print)", ["Thread"]),
        ("with futures.ThreadPoolExecutor(2) as pool: pass", ["ThreadPoolExecutor"]),
        ("subprocess.run(['true'])", ["run"]),
        ("self.run(['true'])", []),
        ("git.execute(['git'], as_process=True)", ["execute"]),
        ("database.execute('select 1')", []),
        ("os.fork()", ["fork"]),
    ],
)
def test_what_starts_one_is_recognized(line: str, found: list[str]) -> None:
    assert list(starters(ast.walk(ast.parse(line)))) == found


def test_no_class_is_a_thread_of_its_own() -> None:
    """Its instances would start threads that no call above shows."""
    bases = {
        ast.unparse(base).rpartition(".")[2]
        for path in (CHECKOUT / "archiver").rglob("*.py")
        for node in nodes_of_module(path)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    assert not bases & {"Thread", "Timer", "Process", "ThreadingMixIn"}
