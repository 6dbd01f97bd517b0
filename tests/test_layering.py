"""The linter's rules of who may import what fail closed: what nobody thought of is forbidden, not allowed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import CHECKOUT
from tests.support.syntax_trees import nodes_of_module

LINTER = Path(sys.executable).parent / "lint-imports"
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract
    for contract in tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
}
LAYERS = next(contract for contract in CONTRACTS.values() if contract["type"] == "layers")
LIBRARIES = CONTRACTS["Each library has one room"]["forbidden_modules"]
VERIFY = CONTRACTS["verify shares no writing code"]


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports, anywhere in it."""
    names = set()
    for node in nodes_of_module(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_every_library_is_named() -> None:
    used = set[str]()
    for path in (CHECKOUT / "archiver").rglob("*.py"):
        used |= imported(path)
    assert used - sys.stdlib_module_names - {"archiver"} == set(LIBRARIES)


def plant(package: Path, module: str, target: str) -> None:
    """Let a module, which may be new, import what it must not."""
    path = package.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    if path.with_suffix("").is_dir():
        path = path.with_suffix("") / "__init__.py"
    text = path.read_text("utf-8") if path.exists() else "from __future__ import annotations\n"
    path.write_text(f"{text}\nimport {target}\n", "utf-8")


def complaints(copy: Path) -> str:
    done = subprocess.run(
        [LINTER, "--no-cache"], cwd=copy, env={**os.environ, "COLUMNS": "300"}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "locale")
    shutil.copytree(CHECKOUT / "archiver", tmp_path / "archiver", ignore=ignored)
    return tmp_path


@pytest.mark.needs("processes")
def test_a_library_outside_of_its_room_is_named(copy: Path) -> None:
    """In a module made tomorrow, in every package."""
    packages = sorted(path.parent.name for path in (copy / "archiver").glob("*/__init__.py"))
    planted = []
    for number, library in enumerate(LIBRARIES):
        package = packages[number % len(packages)]
        # The command line may import click everywhere.
        module = f"{'store' if package == 'cli' else package}.made_tomorrow"
        plant(copy / "archiver", module, library)
        planted.append(f"archiver.{module} -> {library}")
    found = complaints(copy)
    assert [line for line in planted if line not in found] == []


@pytest.mark.needs("processes")
def test_an_import_upwards_is_named(copy: Path) -> None:
    """Of every layer, the lowest module of each imports the layer above."""
    floors = [[name.strip() for name in layer.replace(":", "|").split("|")] for layer in LAYERS["layers"]]
    planted = []
    for above, below in zip(floors, floors[1:], strict=False):
        module = f"{below[0]}.made_tomorrow" if (copy / "archiver" / below[0]).is_dir() else below[0]
        plant(copy / "archiver", module, f"archiver.{above[0]}")
        planted.append(f"archiver.{module} -> archiver.{above[0]}")
    found = complaints(copy)
    assert [line for line in planted if line not in found] == []


@pytest.mark.needs("processes")
def test_a_room_without_a_floor_is_named(copy: Path) -> None:
    plant(copy / "archiver", "made_tomorrow", "archiver.cli")
    assert "made_tomorrow" in complaints(copy)


@pytest.mark.needs("processes")
def test_writing_code_in_verify_is_named(copy: Path) -> None:
    """All that writes lies in the store, but for what is above verify and forbidden already."""
    store = (copy / "archiver").rglob("store/**/*.py")
    modules = {
        ".".join(path.relative_to(copy).with_suffix("").parts) for path in store if path.name != "__init__.py"
    }
    allowed = {line.rpartition(" ")[2] for line in VERIFY["ignore_imports"]}
    planted = []
    for module in sorted(modules):
        if any(fnmatchcase(module, pattern) for pattern in allowed):
            continue
        plant(copy / "archiver", "verify.made_tomorrow", module)
        planted.append(f"archiver.verify.made_tomorrow -> {module}")
    assert len(planted) > 20
    found = complaints(copy)
    assert [line for line in planted if line not in found] == []


def test_the_rooms_are_small_and_no_name_is_given_twice() -> None:
    """Somebody new finds a module by its name; ``cli`` has one file per command, named like it."""
    package = CHECKOUT / "archiver"
    rooms = {path.parent for path in package.rglob("__init__.py")} - {package / "cli"}
    modules = {room: [path for path in room.glob("*.py") if path.name != "__init__.py"] for room in rooms}
    assert len(modules[package]) <= 10
    assert {room.name: len(found) for room, found in modules.items() if len(found) > 20} == {}
    names = Counter(path.name for found in modules.values() for path in found)
    assert {name for name, times in names.items() if times > 1} == set()
