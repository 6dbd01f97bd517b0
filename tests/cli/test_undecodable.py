"""Names in other bytes than UTF-8: on the command line, in messages, in what is remembered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from archiver.cli.main import cli, main
from archiver.errors import LazyMessage
from tests.support.site import COMMAND, Site, tree, wait_until

#: "Filing" in GBK, as an old terminal sends it: nothing that UTF-8 could be.
GBK = "备案".encode("gbk")
#: Work for minutes, or wait for somebody outside of this machine; what they take is of the same kinds.
_ELSEWHERE = {("demo",), ("run",), ("replica", "restore")}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


#: How many options every command takes first; tried once, below.
_GLOBAL = 5
COMMANDS = [pytest.param(*leaf, id=" ".join(leaf[0])) for leaf in leaves(cli) if leaf[0] not in _ELSEWHERE]


def takes_text(parameter: click.Parameter) -> bool:
    free = not isinstance(parameter.type, click.Choice | click.types.BoolParamType)
    return free and not (isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count))


def valid(parameter: click.Parameter) -> str:
    """Something that a required parameter takes."""
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    if parameter.name == "filing":
        return "f"
    if parameter.name == "tag" or "TAG" in (parameter.metavar or ""):
        return "f/s/v1"
    kinds = {"name": "f/s", "date": "2026-03-20", "integer": "1", "integer range": "1", "float range": "1"}
    return kinds.get(parameter.type.name, "plain")


def words(command: click.Command, bad: click.Parameter, value: bytes) -> list[str]:
    """A command line that is right but for one argument."""
    options, arguments = [], []
    for parameter in command.params:
        if parameter is not bad and not parameter.required:
            continue
        given = os.fsdecode(value) if parameter is bad else valid(parameter)
        if isinstance(parameter, click.Option):
            options += [parameter.opts[0], given]
        else:
            arguments.append(given)
    return [*options, *arguments]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all commands: what they do to it does not matter, as long as it stays whole."""
    site = Site(tmp_path_factory.mktemp("shared") / "site").init()
    site.write("f/s/a", "1")
    site.catch_up()
    yield site
    site.verified()


@pytest.mark.needs("processes")
@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_argument_of_every_command(
    shared: Site,
    path: tuple[str, ...],
    command: click.Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Works, or is refused with a sentence: a command that is added tomorrow, too."""
    monkeypatch.chdir(shared.root)
    there = GBK + b".html"
    Path(os.fsdecode(there)).write_text("a file that is there", encoding="utf-8")
    for parameter in filter(takes_text, command.params[_GLOBAL:]):
        for value in (GBK, there) if isinstance(parameter.type, click.Path) else (GBK,):
            line = ["--config", os.fspath(shared.config), *path, *words(command, parameter, value)]
            code = main(line)
            shown = capsys.readouterr()
            assert code in (0, 2, 3, 4, 6, 7, 8, 9), (line, shown)
            assert "nexpected" not in shown.err, (line, shown)
            assert "b'" not in shown.out + shown.err, (line, shown)


def test_paths_in_other_bytes_work(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    beside = os.fsencode(site.root) + b"/" + GBK
    site.run("restore", "f/s/v1", "--to", beside)
    assert tree(Path(os.fsdecode(beside))) == tree(site.watch / "f/s")
    site.run("audit", "--to", beside + b"-package")
    site.run("key", "backup", "--to", beside + b"-keys")
    receipt = site.root / os.fsdecode(GBK + b".pdf")
    receipt.write_bytes(b"%PDF-")
    site.run("submit", "f/s", "--on", "2026-03-20", "--receipt", os.fsencode(receipt))
    site.run("--wait", GBK, "log", code=2)
    moved = site.config.rename(site.root / os.fsdecode(GBK + b".toml"))
    site.config = moved
    site.run("status")
    site.verified()


def test_names_of_an_old_file_server_are_found_as_bytes_and_as_text(site: Site) -> None:
    site.write(GBK + b"/" + "首次".encode("gbk") + b"/" + "材料".encode("gbk"), "1")
    site.catch_up()
    for typed in (GBK + b"/" + "首次".encode("gbk"), "备案/首次".encode()):
        (listed,) = site.json("log", typed)
        assert site.json("show", typed + b"/v1")["tag"] == listed["tag"]
        site.run("explain", typed + b"/v1:" + ("材料".encode("gbk") if typed.startswith(GBK) else b"%B2%C4%C1%CF"))
    site.run("restore", listed["tag"], "--to", "back", "--path", "材料".encode("gbk"))
    assert list(tree(site.root / "back")) == ["材料".encode("gbk")]
    site.run("show", GBK + b"/v9", code=7)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_click_refuses_is_shown_as_text(site: Site, lang: str) -> None:
    """It quotes an argument as Python would write it."""
    for words in (["log", b"--" + GBK], [GBK], ["submit", "f/s", "--on", "2026-01-01", "--kind", GBK]):
        said = site.run("--lang", lang, *words, code=2).stderr
        assert "%B1%B8%B0%B8" in said
        assert "udc" not in said
    # In an ASCII locale Chinese arrives as bytes, too.
    ascii_ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8"}
    line = [COMMAND, "--config", site.config, "submit", "f/s", "--on", "2026-01-01", "--kind", "首次"]
    done = subprocess.run(line, env={**os.environ, **ascii_}, capture_output=True, check=False)
    assert done.returncode == 2
    assert "首次" in done.stderr.decode()


def test_words_for_the_journal_are_refused_in_other_bytes(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    before = site.git("rev-parse", "journal").stdout
    for line in (
        ["hold", "place", "h", "f", "--reason", GBK],
        ["hold", "place", GBK, "f", "--reason", "why"],
        ["submit", "f/s", "--on", "2026-03-20", "--by", GBK],
        ["filing", "set", "f", "--company", GBK],
        ["audit", "--to", "package", "--reason", GBK],
    ):
        assert "%B1%B8%B0%B8 is not UTF-8 text. Nothing was changed." in site.run(*line, code=2).stderr
    assert site.git("rev-parse", "journal").stdout == before
    assert not (site.root / "package").exists()


#: The program in a terminal of an old server: what the system hands over was decoded as that.
OLD = """
import os, sys
sys.getfilesystemencoding = lambda: {encoding!r}
sys.argv = [each.encode("utf-8").decode("unicode-escape").encode("latin-1").decode({encoding!r}, "surrogateescape")
    for each in sys.argv]
os.fsencode = lambda path: path if isinstance(path, bytes) else os.fspath(path).encode({encoding!r}, "surrogateescape")
from archiver.cli.main import run
run()
"""


@pytest.mark.parametrize(
    ("encoding", "typed"),
    [("gb18030", "gb18030"), ("gbk", "gbk"), ("ascii", "utf-8"), ("iso8859-1", "utf-8"), ("utf-8", "utf-8")],
)
def test_what_is_typed_counts_as_the_terminal_means_it(site: Site, encoding: str, typed: str) -> None:
    site.write("推荐/首次/报告", "1")
    site.catch_up()
    line = ["--config", os.fspath(site.config), "hold", "place", "调查", "推荐/首次", "--reason", "稽查"]
    escaped = ["".join(f"\\x{byte:02x}" for byte in word.encode(typed)) for word in line]
    done = subprocess.run(
        [sys.executable, "-c", OLD.format(encoding=encoding), *escaped], capture_output=True, cwd=site.root
    )
    assert done.returncode == 0, done.stderr
    (hold,) = site.json("hold", "list")
    assert (hold["name"], hold["object"], hold["reason"]) == ("调查", "推荐/首次", "稽查")


@pytest.mark.needs("strace")
def test_trouble_with_a_chinese_name_is_remembered_as_text(site: Site) -> None:
    for name in ("坏文件".encode(), "坏".encode("gbk")):
        bad = site.write(b"f/s/" + name, "1")
        failing = [
            "strace",
            "-qq",
            "-f",
            "-o",
            os.devnull,
            "-P",
            bad,
            "-e",
            "trace=readv",
            "-e",
            "inject=readv:error=EIO",
        ]
        daemon = subprocess.Popen(
            [*failing, COMMAND, "--config", site.config, "run", "--settle", "0.2", "--log", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        shown = "f/s/坏文件" if name.startswith("坏文件".encode()) else "f/s/%BB%B5"
        wait_until(lambda shown=shown: f"Not archived: {shown}:" in site.run("status").stdout)
        message = site.json("status")["last_problem"]["message"]
        assert "b'" not in message
        assert ("坏文件" in message) == (shown == "f/s/坏文件")
        os.kill(int(site.json("status")["daemon"].split()[0]), signal.SIGTERM)
        out, _ = daemon.communicate(timeout=20)
        assert shown in [json.loads(each).get("path") for each in out.splitlines()]
        bad.unlink()


def test_phrases_within_a_remembered_problem_stay_phrases(site: Site) -> None:
    """They were put into English for good."""
    from archiver.actions import protocol

    inner = LazyMessage("{path} of {count}", path="坏".encode("gbk"), count=2)
    carried = json.loads(json.dumps({"reason": inner, "path": Path("甲")}, default=protocol.encode_value))
    revived = protocol.decode_value(carried)
    assert isinstance(revived["reason"], LazyMessage)
    assert str(LazyMessage("{path}: {reason}", **revived)) == "甲: \\xbb\\xb5 of 2"
