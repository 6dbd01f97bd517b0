"""The journal's vocabulary: one list of actions, and what becomes of events that are not understood."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from archiver.model import ACTIONS
from tests import forged
from tests.conftest import CHECKOUT, Site

#: Where an action is handed on by a variable: the module, and where its values come from.
_HANDED_ON = {
    "archiver/actions.py": "what",  # one of _NOTES, which is looked at too
    "archiver/filings/records.py": "action",  # from record(...), which is looked at too
}


def _written() -> Iterator[tuple[str, str]]:
    """Every action that some module writes, with the module; fails for one that cannot be told."""
    for path in sorted((CHECKOUT / "archiver").rglob("*.py")):
        name = path.relative_to(CHECKOUT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if name in _HANDED_ON and isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_NOTES":
                yield from ((word, name) for word in ast.literal_eval(node.value))
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("Draft", "record"):
                continue
            first = node.args[0] if node.args else node.keywords[0].value
            choices = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            for each in choices:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value, name
                else:
                    assert _HANDED_ON.get(name) == ast.unparse(each), f"{name}: {ast.unparse(node)}"


def test_every_action_that_is_written_is_in_the_vocabulary() -> None:
    written = dict(_written())
    assert written.keys() >= {"hold", "capture", "key-rotate", "key-replace", "export", "notice", "tick"}
    assert {action: name for action, name in written.items() if action not in ACTIONS} == {}


def test_every_action_that_is_asked_about_is_in_the_vocabulary() -> None:
    asked = set()
    for path in (CHECKOUT / "archiver").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(
                (".action", "['action']", "action")
            ):
                values = (ast.walk(each) for each in node.comparators)
                asked |= {
                    each.value
                    for walked in values
                    for each in walked
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    assert asked >= {"capture", "submit", "checkpoint"}
    assert asked <= ACTIONS


def test_the_package_verifier_knows_the_same_actions() -> None:
    spec = importlib.util.spec_from_file_location("v", CHECKOUT / "archiver/audit/resources/verify.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ACTIONS == ACTIONS


def test_an_action_of_a_newer_release_is_a_finding_and_nothing_is_disposed_of(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    seq = forged.append(site, lambda event: event.update(action="keep-everything", object="f"))
    # Everything else goes on, also what is written after it.
    site.write("f/s/a", "2")
    assert "keep-everything" in site.catch_up().stderr
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    assert [(f["code"], f["object"]) for f in site.findings()] == [("A035", f"event {seq}")]
    assert "keep-everything" in site.run("status", "--check", code=9).stderr
    status = site.json("status")
    assert [(each["seq"], each["action"]) for each in status["unread_events"]] == [(seq, "keep-everything")]
    assert f"event {seq}" in site.run("explain", "f/s/v1").stdout
    for arguments in (("plan",), ("approve", "D1", "--reason", "r"), ("run", "D1")):
        said = site.run("dispose", *arguments, code=4).stderr
        assert f"event {seq}" in said
        assert "keep-everything" in said
    site.run("audit", "--to", tmp_path / "package")
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=tmp_path / "package", capture_output=True, text=True)
    assert done.returncode == 1
    assert f"event {seq} is of a kind that this verifier does not know: keep-everything" in done.stdout
    assert "keep-everything" in (tmp_path / "package/report.html").read_text("utf-8")


def test_a_release_that_knows_the_action_takes_the_event_in(site: Site) -> None:
    """Its index was made by the one before, which passed the event over."""
    site.write("f/s/a", "1")
    site.catch_up()
    details = {"name": "inspection", "reason": "r", "by": None}
    forged.append(site, lambda event: event.update(action="hold", object="f", details=details))
    as_older = (
        "import sys; from archiver import model\n"
        "from archiver.store import index, indexing\n"
        "index.ACTIONS = indexing.ACTIONS = model.ACTIONS - {'hold'}\n"
        "indexing.Intake._hold = lambda self, event: self._unread(event, event.action)\n"
        "from archiver.cli.main import main; sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", as_older, "--config", site.config, "hold", "list"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert "inspection" not in done.stdout
    assert "rebuilt" in site.run("log").stderr
    assert "inspection" in site.run("hold", "list").stdout
    site.verified()
