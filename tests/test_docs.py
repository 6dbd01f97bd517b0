"""What the documentation says is what the program does."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import archiver
from archiver import errors
from archiver.cli.main import COMMANDS
from tests.conftest import CHECKOUT, COMMAND

READMES = ["README.md", "README.zh-CN.md"]
GROUPS = {"replica", "dispose", "filing", "hold", "key", "service"}
OPERATIONS = ["docs/operations.md", "docs/operations.zh-CN.md"]
PLATFORMS = ["docs/platforms.md", "docs/platforms.zh-CN.md"]
OFFSITE = ["docs/offsite.md", "docs/offsite.zh-CN.md"]


@pytest.mark.parametrize("name", READMES)
def test_every_command_of_the_readme_exists(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"archiver ([a-z]+)\b", text))
    assert {
        "init",
        "run",
        "status",
        "log",
        "show",
        "diff",
        "submit",
        "explain",
        "restore",
        "verify",
        "audit",
    } <= named
    for command in named - {"is"}:
        assert command in COMMANDS, command


@pytest.mark.parametrize("name", READMES + OPERATIONS + OFFSITE)
def test_every_option_of_the_readme_exists(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    for command, rest in re.findall(r"archiver ([a-z]+)([^`\n]*)", text):
        if command in COMMANDS:
            words = [command, *rest.split()[:1]] if command in GROUPS else [command]
            known = subprocess.run([COMMAND, *words, "--help"], capture_output=True, text=True, check=True).stdout
            for option in re.findall(r"(--[a-z-]+)", rest):
                assert option in known, (command, option)


@pytest.mark.parametrize(
    "names", [READMES, OPERATIONS, OFFSITE, PLATFORMS], ids=["readme", "operations", "offsite", "platforms"]
)
def test_both_languages_have_the_same_parts(names: list[str]) -> None:
    shapes = [re.findall(r"^(#+|```|\|)", (CHECKOUT / name).read_text(encoding="utf-8"), re.M) for name in names]
    assert shapes[0] == shapes[1]
    blocks = [re.findall(r"```console\n(.*?)```", (CHECKOUT / name).read_text("utf-8"), re.S) for name in names]
    if names is not READMES:
        assert blocks[0] == blocks[1]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_alert_and_figure_of_the_operations_manual_exists(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8") for path in Path(archiver.__file__).parent.rglob("*.py"))
    for figure in set(re.findall(r"`archiver_(\w+?)(?:_total)?(?:\{\w+\})?`", text)):
        assert f'"{figure}"' in source or f"archiver_{figure}" in source, figure
    health = "".join(
        (Path(archiver.__file__).parent / part).read_text("utf-8")
        for part in ("status/health_report.py", "status/disk_problems.py")
    )
    alerts = re.findall(r'yield Phrase\("([^"]+)"', health)
    assert len(alerts) >= 10
    if name.endswith("operations.md"):
        for alert in alerts:
            shown = alert.replace("{count}", "N").replace("{path}", "PATH").replace("{problem}", "REASON")
            assert shown in text, alert


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for document in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), (document, link)


def test_the_exit_codes_are_those_of_the_contract() -> None:
    codes = {
        cls.__name__: cls.exit_code
        for cls in errors.ArchiverError.__subclasses__()
        if cls.__module__ == errors.__name__
    }
    assert codes == {
        "UsageProblem": 2,
        "ConfigProblem": 3,
        "RetentionRefused": 4,
        "FindingsPresent": 5,
        "Busy": 6,
        "NotFound": 7,
        "StorageProblem": 8,
        "Unhealthy": 9,
    }


def test_the_help_lists_every_command() -> None:
    out = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", out, re.M)
        done = subprocess.run([COMMAND, command, "--help"], capture_output=True, text=True, check=True)
        assert "--config" in done.stdout


def test_every_module_says_what_it_is() -> None:
    for module in pkgutil.walk_packages(archiver.__path__, "archiver."):
        if not module.name.endswith("__main__"):
            assert importlib.import_module(module.name).__doc__, module.name


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from archiver.cli.main import main; main(['--help']); print(sorted(sys.modules))"
    import sys

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("'git'", "'watchdog'", "'cryptography'", "'jinja2'", "'pypdf'", "'sqlite3.dbapi3'"):
        assert heavy not in out


# The verifier of a package is one file on purpose.
MODULES = [path for path in sorted(Path(archiver.__file__).parent.rglob("*.py")) if "resources" not in path.parts]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.name)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 360


def test_the_page_of_findings_is_that_of_the_code() -> None:
    from tests.findings_page import PAGE, render

    assert PAGE.read_text(encoding="utf-8") == render(), "python -m tests.findings_page"


def test_the_map_of_the_packages_is_whole() -> None:
    """docs/design.md names every module of every package, and none that is not there."""
    text = (CHECKOUT / "docs/design.md").read_text("utf-8")
    rows = re.findall(r"^\| `archiver/([a-z/]+)/` \| (.*)$", text, re.MULTILINE)
    packages = {path.parent for path in Path(archiver.__file__).parent.glob("*/**/__init__.py")}
    assert {name for name, _ in rows} == {
        path.relative_to(Path(archiver.__file__).parent).as_posix() for path in packages
    }
    for name, row in rows:
        if name != "cli":
            there = {path.name for path in (CHECKOUT / "archiver" / name).glob("*.py")} - {"__init__.py"}
            assert set(re.findall(r"`(\w+\.py)`", row)) == there, name


def test_the_index_of_decisions_is_that_of_the_folder() -> None:
    folder = CHECKOUT / "docs/adr"
    titles = {
        path.name: path.read_text("utf-8").partition("\n")[0].partition(": ")[2] for path in folder.glob("0*.md")
    }
    rows = re.findall(r"^\| \[\d{4}\]\((0[\w.-]+)\) \| (.+?) \|", (folder / "README.md").read_text("utf-8"), re.M)
    assert dict(rows) == titles
    assert [name for name, _ in rows] == sorted(titles)


DECISIONS = sorted((CHECKOUT / "docs/adr").glob("0*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name[:4])
def test_a_decision_has_the_headings_of_the_template(path: Path) -> None:
    headings = [
        re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
        for page in (path, path.with_name("template.md"))
    ]
    assert headings[0] == headings[1]
    assert path.read_text("utf-8").startswith(f"# ADR {path.name[:4]}: ")
