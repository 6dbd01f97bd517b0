"""The golden archive and the golden inspection package, made once with the release of their time.

    python tests/golden/make_golden.py FOLDER COMMIT

Run as root (it works in /srv) with the Python of a virtual environment in which the release to be kept is
installed with its test extra; COMMIT is the commit of that release.  It writes ``archive.tar.gz``,
``package.zip`` and ``facts.json`` into FOLDER.  All three are committed, and never made again with a later
release: tests/test_golden.py shows that a later release reads, checks and continues what an earlier one wrote.
Those of format 1, beside this file, were made with this script as it was in commit 2e4fd1f.

The folder is fixed, because ``init`` journals the watched path: a random one would end up in an archive that is
kept for good.  The clocks are those of 2022 to 2025, so that a disposal fits in and nothing lies in the future.
They are set for each command as tests/later.py does, by a door that is in no release.

The signing keys in ``archive.tar.gz`` are MADE FOR TESTS.  They lie in this repository on purpose, protect
nothing, and must never sign anything else.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from archiver import clock

HERE = Path(__file__).resolve().parent
TOP = Path("/srv/archiver-golden")
WATCH, ARCHIVE, CONFIG, PAPERS = TOP / "materials", TOP / "archive", TOP / "archiver.toml", TOP / "papers"
ZONE = ZoneInfo("Asia/Shanghai")

#: Who does what: names and numbers of a server that does not exist.
SERVICE, OFFICER, LAWYER, HEAD = (991, "archiver"), (5001, "wang.min"), (5002, "li.na"), (5003, "chen.jie")
#: The server was switched off once; its compliance clock earns nothing for the two hours.
BOOTS = (
    ("00000000-0000-4000-8000-000000000001", "2022-02-20T08:00"),
    ("00000000-0000-4000-8000-000000000002", "2022-09-03T10:00"),
)
NUMBER = "网信算备110108823483901230031号"
LINK = "https://beian.example/public/1"
SETTINGS = """
[evidence]
sm3 = true
[sensitive]
patterns = ["*身份证*"]
[changes]
model = ["*模型*"]
[filings."推荐"]
signals = ["/srv/archiver-golden/papers/VERSION"]
"""
#: Added to the settings for a while: what was accepted once goes on counting.
LONGER = 'profiles = ["cn-archive-10"]\n'
README = """\
This is a golden archive of archiver's own tests. Its signing keys are MADE FOR TESTS: they are public, they
protect nothing, and nothing else may be signed with them.
"""


# --- one command, at another time, as another user (this file again, in a process of its own)


def act(arguments: list[str]) -> int:
    """``--act ISO UID USER COMMAND ...``: the release that this Python has, at that time."""
    from archiver.cli.main import main
    from archiver.model import Actor
    from archiver.store import users

    start, uid, user, *words = arguments
    began, first = time.monotonic(), datetime.fromisoformat(start)
    boot, booted = [(name, local(on)) for name, on in BOOTS if local(on) <= first][-1]

    def read() -> clock.ClockReading:
        wall = first + timedelta(seconds=time.monotonic() - began)
        up = (wall - booted) // timedelta(microseconds=1) * 1000
        return clock.ClockReading(wall.astimezone(UTC), boot, up, up, shifted=False)

    clock.read_clocks = read  # type: ignore[assignment]
    users.current_user = lambda: Actor(int(uid), user)
    return main(["--config", os.fspath(CONFIG), *words])


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


class Maker:
    """The site at one time after the other."""

    def __init__(self) -> None:
        self.now = local("2022-03-01T09:00")
        self.authority: Any = None

    def at(self, text: str) -> None:
        assert local(text) > self.now
        self.now = local(text)

    def process(self, words: tuple[object, ...], user: tuple[int, str]) -> subprocess.Popen[str]:
        self.now += timedelta(minutes=1)
        if self.authority:
            self.authority.days = (self.now - clock.read_clocks().wall).total_seconds() / 86400
        command = [sys.executable, __file__, "--act", self.now.isoformat(), str(user[0]), user[1]]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "ARCHIVER_"))}
        return subprocess.Popen(
            [*command, *(word if isinstance(word, bytes) else str(word) for word in words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
        )

    def run(self, *words: object, user: tuple[int, str] = SERVICE, code: int = 0) -> str:
        process = self.process(words, user)
        out, problem = process.communicate(timeout=120)
        assert process.returncode == code, (words, out, problem)
        return out

    def json(self, *words: object, code: int = 0, user: tuple[int, str] = SERVICE) -> Any:
        return json.loads(self.run(*words, "--json", code=code, user=user))

    def capture(self) -> None:
        self.run("run", "--once", "--settle", "0")

    def serve(self) -> None:
        """The daemon, until it has journalled what a hook refused."""
        process = self.process(("run",), SERVICE)
        deadline = time.monotonic() + 60
        while any(ARCHIVE.joinpath("spool").glob("refused*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0

    def write(self, path: str | bytes, data: str | bytes, folder: Path = WATCH) -> Path:
        target = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        # Odd nanoseconds: a time that went through a float would differ.
        times = int(self.now.timestamp()) * 10**9 + 123_456_789
        os.utime(target, ns=(times, times))
        return target

    def paper(self, name: str, data: str) -> Path:
        return self.write(name, data, PAPERS)

    def submit(self, name: str, on: str, *more: object) -> None:
        self.run("submit", name, "--on", on, *more, user=OFFICER)


# --- what happened


def make(maker: Maker) -> list[str]:
    """Four years of it; returns the witness lines that were kept."""
    authority = maker.authority
    maker.run(
        *("init", "--archive", ARCHIVE, "--watch", WATCH, "--retention-years", "3"),
        *("--tsa-url", authority.url, "--tsa-root", authority.root),
    )
    CONFIG.write_text(CONFIG.read_text("utf-8") + SETTINGS, "utf-8")
    first_filings(maker)
    lines = [first_year(maker)]
    later_years(maker)
    lines.append(disposals(maker))
    return lines


def first_filings(maker: Maker) -> None:
    write = maker.write
    write("推荐/首次/算法安全自评估 报告.txt", "第一稿\n模型：甲\n")
    write("推荐/首次/拟公示内容.docx", word_document("拟公示内容，第一稿"))
    write("推荐/首次/模型 说明.txt", "模型 v1\n")
    write("推荐/首次/空文件", "")
    (WATCH / "推荐/首次/附件 (空)").mkdir()
    write("推荐/主体/营业执照.txt", "营业执照\n")
    write("推荐/主体/法人身份证.txt", "身份证：测试用\n")
    write("推荐/联系人.txt", "belongs to _common\n")
    write("readme first.txt", "belongs to _unfiled\n")
    # Each name is one that some layer would like to change: git, refs, shells, NFC, old Windows, long names.
    for name in (
        b".gitattributes",
        b".git/config",
        b"-rf",
        b"100%25 sure",
        b"new\nline",
        b"back\\slash",
        b"trail. ",
    ):
        write(b"Search engine/first filing/" + name, b"in " + name)
    write("Search engine/first filing/cafe\u0301", "NFD")
    write("Search engine/first filing/caf\u00e9", "NFC")
    write("Search engine/_common/not ours", "a real folder of that name")
    write("Search engine/" + "补充材料" * 20 + "/材料", "a folder of 240 bytes: its ref is cut")
    write("备案".encode("gbk") + b"/" + "首次".encode("gbk") + b"/" + "材料.txt".encode("gbk"), "GBK 文件名\n")
    write("退役/首次/自评估.txt", "to be disposed of\n")
    write("推荐/首次/工资表.txt", "saved in the wrong folder\n")
    write("推荐/首次/合同.txt", "restricted for a while\n")
    write("退役/首次/共用.txt", "shared with a filing that stays\n")
    write("推荐/首次/共用.txt", "shared with a filing that stays\n")
    write("试验/首次/材料.txt", "planned, not disposed of\n")
    write("推荐/首次/~$拟公示内容.docx", "ignored")
    (WATCH / "推荐/首次/link").symlink_to("模型 说明.txt")
    maker.paper("VERSION", "v1.0\n")
    maker.capture()


def first_year(maker: Maker) -> str:
    maker.at("2022-03-02T10:00")
    receipt = maker.paper("回执 1.pdf", "%PDF-1.4 a receipt\n")
    maker.submit("推荐/首次", "2022-03-02", "--receipt", receipt, "--by", "王敏")
    maker.submit("推荐/主体", "2022-03-02", "--kind", "subject")
    maker.submit("退役/首次", "2022-03-02")
    maker.submit("试验/首次", "2022-03-02")
    maker.submit("Search engine/first filing", "2022-03-02")
    sheet = ("--company", "示例科技 有限公司", "--responsible", "王敏", "--manager", "陈杰", "--product", "甲 App")
    maker.run("filing", "set", "推荐", *sheet, "--product", "乙", "--scheme", "algorithm", user=OFFICER)
    picture = maker.paper("截图 1.png", "a picture of the portal")
    status = ("--status", "under_review", "--portal-text", "审核中", "--evidence", picture)
    maker.run("filing", "set", "推荐", *status, user=OFFICER)
    maker.run("dispose", "plan", "推荐/首次/v1", code=4, user=OFFICER)
    mistaken = ("推荐/首次/v1:工资表.txt", "推荐/首次/v1:合同.txt")
    maker.run("restrict", *mistaken, "--reason", "误存 工资表", "--by", "陈杰", user=OFFICER)
    maker.run("unrestrict", mistaken[1], "--reason", "合同 属于 备案材料", user=OFFICER)

    maker.at("2022-03-10T09:00")
    maker.write("推荐/首次/算法安全自评估 报告.txt", "第二稿\n模型：甲\n风险：低\n")
    maker.write("推荐/首次/拟公示内容.docx", word_document("拟公示内容，第二稿"))
    (WATCH / "推荐/首次/空文件").rename(WATCH / "推荐/首次/附件 (空)/改名后")
    (WATCH / "Search engine/first filing/-rf").unlink()
    maker.write("退役/首次/自评估.txt", "second draft, to be disposed of\n")
    maker.capture()
    letter = maker.paper(
        "补正通知.txt", "关于推荐算法备案的补正通知\n网信函〔2022〕7号\n请于十个工作日内补正。\n2022年3月10日\n"
    )
    notice = ("--kind", "correction", "--received", "2022-03-10", "--days", "10", "--issuer", "网信办")
    maker.run("notice", "add", "推荐", *notice, "--document", "网信函〔2022〕7号", "--file", letter, user=OFFICER)
    maker.run("hold", "place", "补正 2022", "推荐", "--reason", "补正期间 不得销毁", "--by", "法务", user=LAWYER)
    maker.at("2022-03-16T09:00")
    maker.write("推荐/补正/补正说明.txt", "已补正\n")
    maker.write("推荐/补正/系统回执.txt", "受理回执\n")
    maker.capture()
    maker.submit("推荐/补正", "2022-03-16", "--receipt-in-folder", "系统回执.txt")
    maker.run("notice", "answer", "1", "--submission", "推荐/补正", user=OFFICER)
    # The whole first filing was handed in a second time, with the corrections.
    maker.submit("推荐/首次", "2022-03-16", "--receipt", maker.paper("回执 2.txt", "second receipt\n"))

    maker.at("2022-03-20T09:00")
    maker.run("key", "rotate", "--reason", "yearly, for the tests")
    maker.run("key", "backup", "--to", PAPERS / "key, for tests")
    maker.run("checkpoint")
    # The key was missing for a day.
    key, kept = ARCHIVE / "keys/signing_key", PAPERS / "signing_key"
    key.rename(kept)
    maker.write("推荐/补正/补正说明.txt", "已补正，写入时没有密钥\n")
    maker.capture()
    kept.rename(key)
    maker.run("checkpoint")

    maker.at("2022-04-10T09:00")
    number = ("--number", NUMBER, "--issued-on", "2022-04-10", "--published-at", LINK)
    maker.run("filing", "set", "推荐", *number, user=OFFICER)
    page = maker.paper("关于我们.html", f'<p>{NUMBER} <a href="{LINK}">公示</a></p>')
    maker.run("display", "check", "推荐", "--page", page, user=OFFICER)
    maker.write("推荐/首次/算法安全自评估 报告.txt", "第三稿\n模型：甲\n风险：低\n")
    maker.capture()
    maker.run("change", "decide", "1", "--material", "no", "--reason", "错别字", "--by", "王敏", user=OFFICER)
    maker.at("2022-05-05T09:00")
    for filing in ("退役", "试验"):
        maker.run("filing", "end", filing, "--on", "2022-04-30", "--reason", "服务 关闭", user=OFFICER)
    # What is gone from the folder is nobody's present state, so all of its versions may go one day.
    shutil.rmtree(WATCH / "退役")
    shutil.rmtree(WATCH / "试验")
    maker.capture()

    maker.at("2022-06-01T09:00")
    maker.write("推荐/变更/模型 说明.txt", "模型 v2\n")
    maker.capture()
    maker.run("change", "decide", "2", "--material", "yes", "--reason", "新模型", user=HEAD)
    maker.submit("推荐/变更", "2022-06-01", "--number", NUMBER)
    maker.run("filing", "set", "推荐", "--status", "filed", "--portal-text", "变更通过", user=OFFICER)
    maker.write("推荐/变更/受理通知.txt", "变更 受理通知\n")
    maker.capture()
    maker.run(
        "submission", "attach", "推荐/变更", "受理通知.txt", "--role", "notice", "--by", "王敏", user=OFFICER
    )
    seqs = {record["kind"]: record["seq"] for record in maker.json("log", "--records", "推荐")}
    maker.run("correct", seqs["notice"], "--set", "issuer=市网信办", "--reason", "看错 公章", user=OFFICER)
    maker.run("correct", seqs["change-decision"], "--void", "--reason", "记错 备案", "--by", "王敏", user=HEAD)
    maker.run("hold", "lift", "补正 2022", "推荐", "--reason", "补正完成", user=LAWYER)
    maker.run("maintain")
    return maker.run("checkpoint", "--print").strip()


def later_years(maker: Maker) -> None:
    # Switched off for two hours after this, and on again: see BOOTS.
    maker.at("2022-09-03T08:00")
    maker.run("drill")
    maker.at("2022-09-03T10:05")
    maker.paper("VERSION", "v2.0 新模型\n")
    maker.capture()
    maker.run("hold", "place", "诉讼 2023", "Search engine/first filing", "--reason", "a lawsuit", user=LAWYER)
    text = CONFIG.read_text("utf-8")
    CONFIG.write_text(text + LONGER, "utf-8")
    maker.run("retention", "accept", user=LAWYER)
    CONFIG.write_text(text, "utf-8")
    inspection = ("--kind", "inspection", "--received", "2022-09-05", "--due", "2022-09-30", "--owner", "李娜")
    maker.at("2022-09-05T09:00")
    maker.run("notice", "add", "Search engine", *inspection, user=LAWYER)
    (ARCHIVE / "keys/signing_key").unlink()
    maker.run("key", "replace", "--reason", "lost with the old server", user=SERVICE)
    maker.write("推荐/通知/约谈通知.txt", "a paper that no notice names yet\n")
    maker.capture()
    maker.run("restore", "推荐/首次/v1", "--to", PAPERS / "restored", code=4, user=LAWYER)
    export = ("--recipient", "网信办 检查组", "--reason", "spot check", "--filing", "推荐")
    maker.run("audit", "--to", PAPERS / "inspection 2022", *export, user=LAWYER)
    tag = ("git", "-c", f"safe.directory={ARCHIVE}/archive.git", "-C", ARCHIVE / "archive.git", "tag", "-d")
    assert subprocess.run([*tag, "推荐/首次/v1"], capture_output=True).returncode != 0
    maker.serve()


def disposals(maker: Maker) -> str:
    maker.at("2025-06-10T09:00")
    done = maker.json("dispose", "plan", "退役/首次/v1", "退役/首次/v2", user=OFFICER)["plan"]
    maker.run("dispose", "approve", done, "--reason", "期满 三年", user=LAWYER)
    maker.run("dispose", "approve", done, "--reason", "mine", code=4, user=OFFICER)
    maker.run("dispose", "approve", done, "--reason", "agreed", user=HEAD)
    maker.run("dispose", "run", done, code=4, user=HEAD)
    maker.at("2025-06-18T09:00")
    maker.run("dispose", "run", done, user=HEAD)
    waiting = maker.json("dispose", "plan", "试验/首次/v1", user=OFFICER)["plan"]
    maker.run("dispose", "approve", waiting, "--reason", "one of two", user=LAWYER)
    maker.at("2025-06-20T09:00")
    maker.write("推荐/变更/模型 说明.txt", "模型 v3\n")
    maker.capture()
    line = maker.run("checkpoint", "--print").strip()
    export = ("--recipient", "网信办", "--reason", "年度 检查", "--zip")
    maker.run("audit", "--to", TOP / "package", *export, user=LAWYER)
    # The authority has closed down since; its tokens stay good.
    text = CONFIG.read_text("utf-8")
    CONFIG.write_text(text.replace(f'[timestamp]\nurl = "{maker.authority.url}"\n', ""), "utf-8")
    return line


def word_document(text: str) -> bytes:
    """The least that a reader of Word files takes."""
    import io

    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
        f'ContentType="{kind}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{main}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p>'
        "</w:body></w:document>",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in parts.items():
            out.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{data}')
    return stream.getvalue()


# --- what the release says of it


def facts(maker: Maker, commit: str, lines: list[str]) -> dict[str, Any]:
    """What every later release has to say too: values that depend on no day, and no wording."""
    tags = [version["tag"] for version in maker.json("log")]
    filings = [filing["filing"] for filing in maker.json("filing", "list")]
    verified = maker.json("verify")
    done = [plan["plan"] for plan in maker.json("dispose", "list") if plan["certified"]]
    maker.run("dispose", "certificate", done[0], "--to", PAPERS / "certificate")
    git = ("git", "-c", f"safe.directory={ARCHIVE}/archive.git", "-C", ARCHIVE / "archive.git")
    log = (*git, "log", "--reverse", "--format=%s", "journal")
    events = subprocess.run(log, check=True, capture_output=True, text=True).stdout.splitlines()
    return {
        "made with": maker.run("--version").strip(),
        "commit": commit,
        "witness lines": lines,
        "events": events,
        "verify": {
            "checked": verified["checked"],
            "findings": verified["findings"],
            "notes": len(verified["notes"]),
        },
        "log": maker.json("log"),
        "show": {tag: maker.json("show", tag) for tag in tags},
        "filing show": {name: maker.json("filing", "show", name) for name in filings},
        "notice list": maker.json("notice", "list"),
        "change list": maker.json("change", "list", "--all"),
        "hold list": maker.json("hold", "list", "--all"),
        "dispose list": maker.json("dispose", "list"),
        "certificate": json.loads((PAPERS / "certificate/certificate.json").read_text("utf-8")),
        "key list": maker.run("key", "list").splitlines(),
    }


@contextmanager
def authority(first: datetime) -> Iterator[Any]:
    """The time-stamp authority of the tests, with certificates of the time of ``first``."""
    sys.path.insert(0, os.fspath(HERE.parent.parent))
    from tests.support import faketime
    from tests.support.authority import Authority

    before = dict(os.environ)
    os.environ.update(faketime.at((first - clock.read_clocks().wall).total_seconds() / 86400 - 30))
    made = Authority(TOP / "authority")
    os.environ.clear()
    os.environ.update(before)
    yield made
    made.close()


def main(kept_in: Path, commit: str) -> None:
    os.umask(0o022)
    kept_in.mkdir(exist_ok=True)
    for folder in (TOP, WATCH, PAPERS):
        # Raises where it is there: nothing of anybody's is overwritten.
        folder.mkdir()
    try:
        maker = Maker()
        with authority(maker.now) as maker.authority:
            lines = make(maker)
        said = facts(maker, commit, lines)
        (kept_in / "facts.json").write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", "utf-8")
        (TOP / "README").write_text(README, "utf-8")
        shutil.copy(TOP / "package.zip", kept_in / "package.zip")
        pack = ["tar", "-C", TOP, "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=pax"]
        kept = ["README", "archive", "archiver.toml", "materials"]
        subprocess.run([*pack, "-czf", kept_in / "archive.tar.gz", *kept], check=True)
    finally:
        shutil.rmtree(TOP)


if __name__ == "__main__":
    if sys.argv[1] == "--act":
        sys.exit(act(sys.argv[2:]))
    main(Path(sys.argv[1]).absolute(), sys.argv[2])
