"""What the documentation says is what the program does."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import archiver
from archiver import errors, keyboard_interrupt
from archiver.cli.main import COMMANDS
from archiver.daemon import watch_state
from archiver.i18n import translator
from archiver.intake.folder.abilities import FINE_CLOCK, LEASES
from archiver.intake.folder.presence import ABSENCE_REASONS
from archiver.intake.path_reasons import REASONS
from tests.support import package_map, sentence_lines
from tests.support.messages import read_package
from tests.support.site import CHECKOUT, COMMAND

READMES = ["README.md", "README.zh-CN.md"]
GROUPS = {"replica", "dispose", "filing", "hold", "key", "service", "config", "retention", "submission", "watch"}
OPERATIONS = ["docs/operations.md", "docs/operations.zh-CN.md"]
PLATFORMS = ["docs/platforms.md", "docs/platforms.zh-CN.md"]
OFFSITE = ["docs/offsite.md", "docs/offsite.zh-CN.md"]
SETTINGS = ["docs/settings.md", "docs/settings.zh-CN.md"]


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


@functools.cache
def help_of(*words: str) -> str:
    """Return the help of a command; the documents name most of them several times."""
    return subprocess.run([COMMAND, *words, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", [*READMES, *OPERATIONS, *OFFSITE, *SETTINGS, "docs/commands.md"])
def test_every_option_of_the_readme_exists(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    for command, rest in re.findall(r"archiver ([a-z]+)([^`\n]*)", text):
        if command in COMMANDS:
            words = [command, *rest.split()[:1]] if command in GROUPS else [command]
            known = help_of(*words)
            for option in re.findall(r"(--[a-z-]+)", rest):
                assert option in known, (command, option)


@pytest.mark.parametrize(
    "names",
    [READMES, OPERATIONS, OFFSITE, PLATFORMS, SETTINGS],
    ids=["readme", "operations", "offsite", "platforms", "settings"],
)
def test_both_languages_have_the_same_parts(names: list[str]) -> None:
    shapes = [re.findall(r"^(#+|```|\|)", (CHECKOUT / name).read_text(encoding="utf-8"), re.M) for name in names]
    assert shapes[0] == shapes[1]
    blocks = [re.findall(r"```console\n(.*?)```", (CHECKOUT / name).read_text("utf-8"), re.S) for name in names]
    if names is not READMES:
        # Comments and reasons are in the language of the page.
        for_people = re.compile(r'  # .*|(?<=--reason )".*?"')
        commands = [[for_people.sub("", block) for block in page_blocks] for page_blocks in blocks]
        assert commands[0] == commands[1]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_alert_and_figure_of_the_operations_manual_exists(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8") for path in Path(archiver.__file__).parent.rglob("*.py"))
    for figure in set(re.findall(r"`archiver_(\w+?)(?:_total)?(?:\{\w+\})?`", text)):
        assert f'"{figure}"' in source or f"archiver_{figure}" in source, figure
    alerts = {message.template for message in read_package().messages if message.code.startswith("status.")}
    assert len(alerts) >= 20
    if name.endswith("operations.md"):
        # The manual has the beginning, up to what names a path or says what to do.
        alert_texts = [re.sub(r"\{(count|hours|events|number)\}", "N", alert) for alert in alerts]
        alert_texts = [re.sub(r"\{(filing|total)\}", lambda field: field[1].upper(), each) for each in alert_texts]
        heads = {re.split(r"[:;]|, and|, last in", each)[0] for each in alert_texts}
        assert {head for head in heads if f"| {head}" not in text} == set()


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
        "UsageError": 2,
        "ConfigError": 3,
        "RetentionRefused": 4,
        "FindingsPresent": 5,
        "Busy": 6,
        "NotFoundError": 7,
        "StorageError": 8,
        "Unhealthy": 9,
    }


@pytest.mark.needs("processes")
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


@pytest.mark.needs("processes")
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


@pytest.mark.parametrize(("page", "language"), list(zip(OPERATIONS, ["en", "zh"], strict=True)))
def test_the_manual_has_each_line_about_the_watched_folder(page: str, language: str) -> None:
    translate = translator(language)
    messages = [
        *watch_state.WATCH_STATES.values(),
        *ABSENCE_REASONS.values(),
        *REASONS.values(),
        LEASES,
        FINE_CLOCK,
    ]
    messages += [
        reason
        for name, reason in vars(watch_state).items()
        if name.isupper() and not isinstance(reason, str | dict)
    ]
    text = (CHECKOUT / page).read_text("utf-8")
    for message in messages:
        assert f"| {translate(message.with_fields(value='VALUE'))} |" in text


def test_the_page_of_findings_is_that_of_the_code() -> None:
    from tests.support.findings_page import PAGE, render

    assert PAGE.read_text(encoding="utf-8") == render(), "python -m tests.support.findings_page"


def test_the_map_of_floors_and_rooms_is_that_of_the_code() -> None:
    page = package_map.PAGE.read_text("utf-8")
    assert page == package_map.render(page), "python -m tests.support.package_map"


def test_a_page_without_the_marks_of_the_map_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        package_map.render("# Design\n")


def test_design_links_every_document() -> None:
    linked = set(re.findall(r"\]\(([\w.-]+\.md)\)", (CHECKOUT / "docs/design.md").read_text("utf-8")))
    documents = {path.name for path in (CHECKOUT / "docs").glob("*.md") if not path.name.endswith(".zh-CN.md")}
    assert linked == documents - {"design.md"}


# What they name as `archiver/...` or `tests/...`; the changelog tells of things that are gone.
PAGES = [CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_and_tests_that_a_document_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    roots = "archiver|benchmarks|deploy|docs|scripts|tests"
    for name, test in re.findall(rf"`((?:{roots})/[\w./-]+)(?:::(\w+))?`", text):
        assert (CHECKOUT / name).exists(), name
        if test:
            assert re.search(rf"^def {test}\(", (CHECKOUT / name).read_text("utf-8"), re.MULTILINE), (
                f"{name}::{test}"
            )


def test_every_trap_names_its_tests() -> None:
    traps = (CHECKOUT / "docs/traps.md").read_text("utf-8").split("\n### ")[1:]
    assert len(traps) > 30
    for trap in traps:
        assert "\n- `tests/" in trap, trap.partition("\n")[0]


def test_the_page_of_commands_names_every_command_and_exit_code() -> None:
    text = (CHECKOUT / "docs/commands.md").read_text("utf-8")
    assert set(COMMANDS) - set(re.findall(r"`archiver ([a-z-]+)", text)) == set()
    codes = {0, 1, keyboard_interrupt.EXIT_CODE} | {cls.exit_code for cls in errors.ArchiverError.__subclasses__()}
    assert set(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE))) == codes


GOLDEN_OUTPUTS = {
    "explain": "explain-version",
    "log": "log",
    "show": "show-version",
    "status": "status",
    "verify": "verify",
}


@pytest.mark.parametrize("command", GOLDEN_OUTPUTS)
def test_the_json_keys_that_scripts_rely_on_are_in_the_golden_output(command: str) -> None:
    text = (CHECKOUT / "docs/commands.md").read_text("utf-8").partition("## JSON")[2]
    row = re.search(rf"^\| `{command}` \| .*`(.+)` \|$", text, re.MULTILINE)
    assert row is not None
    named = re.sub(r": (\[.*?\]|\{.*?\})", "", row[1]).split(", ")
    path = CHECKOUT / f"tests/golden/outputs/{GOLDEN_OUTPUTS[command]}.json"
    answer = json.loads(path.read_text("utf-8"))["answer"]
    assert set(named) - set(answer[0] if isinstance(answer, list) else answer) == set()


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


@pytest.mark.parametrize("path", sentence_lines.DOCUMENTS, ids=lambda path: path.name)
def test_each_sentence_of_a_document_has_its_line(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == sentence_lines.reflow(text), "python -m tests.support.sentence_lines"


def test_sentences_are_told_from_what_only_looks_like_them() -> None:
    # An article of a law, code with a full stop, a table, a block of code, and Chinese in brackets.
    code = "| a. B | c |\n```\nd. E\n```\n"
    before = "One. Two of art. 24 is `a. B`\nand goes on.\n- An item. It ends\n  here.\n\n三。（四。）五，\n六。\n"
    after = (
        "One.\nTwo of art. 24 is `a. B` and goes on.\n- An item.\n  It ends here.\n\n三。\n（四。）\n五，六。\n"
    )
    assert sentence_lines.reflow(before + code) == after + code


def test_a_commit_is_checked_by_what_make_lint_runs() -> None:
    recipe = (CHECKOUT / "Makefile").read_text("utf-8").partition("\nlint:\n")[2].partition("\n\n")[0]
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines() if "$(BIN)" in line]
    hooks = (CHECKOUT / ".pre-commit-config.yaml").read_text("utf-8")
    entries = [
        re.sub(r"^sh -c '(.*)'$", r"\1", entry) for entry in re.findall(r"^ *entry: (.*)$", hooks, re.MULTILINE)
    ]
    assert entries == commands
    assert "https:" not in hooks


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    versions = (CHECKOUT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[1:]
    assert versions[0].startswith("Unreleased\n")
    for version in versions:
        name, _, body = version.partition("\n")
        sections = re.findall(r"^### (.+)$", body, re.MULTILINE)
        assert sections == sorted(set(sections), key=order.index), name
        assert re.match(r"\n### ", body), name
