#!/usr/bin/env python3
"""Check this inspection package.  校验本检查包。

    python3 -I -S verify.py [--lang zh|en] [--witness LINE]
    python3 -I -S verify.py --fill-lfs CLONE/.git/lfs/objects

One file for Python 3.8 or later.  It needs only Python's standard library, no network,
and no module of the program that wrote the archive.  One part, between two marks, is the
same text as in that program.  It writes only to the folder of --fill-lfs.
--witness: a witness line that was stored elsewhere ("archiver-witness 2 ...").  The
journal of this package must contain the signed head of that line (version 1: the event).
Without such a line, no check can distinguish this archive from a forgery signed with
another key.

Exit code 0: no findings; 1: findings.

The checks, in this order.  Each of them relies on the previous ones:
 1. files:    every file has the checksums in the manifests, and there is no other file
 2. journal:  the events form one chain of SHA-256, from the first to the last; each has
              the body that it names, and continues the chain of its filing; the signed
              heads count the events that are here; the compliance clock gains no more than
              the clocks of the machine show
 3. keys:     a new signing key is appended to the earlier ones, and the old key signs
              it, unless it was lost
 4. versions: the changes in the journal add up to the list of each version, and each
              material in the package has the SHA-256 in that list
 5. tags:     submissions, and in format 1 checkpoints and changes of the key, have valid
              Ed25519 signatures; a submission signs its materials without the files that
              are about it, and a checkpoint of format 1 covers all refs of its time
    heads:    every signed head names the key of its time; the signatures are verified of
              the newest one, and of those of new keys, timestamp tokens, and --witness
 6. disposal: the certificate of each disposal has a valid signature, and every file that a
              list marks as disposed of belongs to a version that such a certificate names;
              the journal restricts every file that a list marks as restricted
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import struct
import sys
from typing import Any

#: The folder of the package.
HERE = os.path.dirname(os.path.abspath(__file__))
#: "prev" of the first event.
ZERO = "0" * 64
SIGNATURE_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
#: Controls, halves of characters, and characters that reorder, join or hide others: code points, first to last.
INVISIBLE = (
    (0x00, 0x1F),
    (0x7F, 0x9F),
    (0xAD, 0xAD),
    (0x61C, 0x61C),
    (0x180E, 0x180E),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0xD800, 0xDFFF),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xE0000, 0xE007F),
)
#: What a signature is for: tags and certificates, and signed heads.
GIT_NAMESPACE = b"git"
HEAD_NAMESPACE = b"archiver-head"
#: Algorithms of manifests.
MANIFESTS = ("sha256", "sm3")
#: Manifests of the files beside the folder "data".
TAG_MANIFESTS = ("tagmanifest-sha256.txt", "tagmanifest-sm3.txt")
#: All actions of events that this program knows. A newer release may write others.
ACTIONS = {
    "adopt",
    "capture",
    "change-decision",
    "change-question",
    "checkpoint",
    "correct",
    "display-check",
    "dispose-approve",
    "dispose-begin",
    "dispose-certify",
    "dispose-plan",
    "drill",
    "earlier-events",
    "export",
    "filing-end",
    "filing-set",
    "format",
    "hold",
    "init",
    "key-backup",
    "key-reason",
    "key-replace",
    "key-rotate",
    "lift",
    "notice",
    "notice-answer",
    "policy",
    "protect",
    "record",
    "recover",
    "refuse",
    "reminder",
    "replica-init",
    "repository-settings",
    "restore",
    "restrict",
    "signal",
    "submission-file",
    "submit",
    "tick",
    "timestamp",
    "unrestrict",
    "watch-accept",
    "watch-deaf",
    "watch-folder",
    "watch-lost",
    "watch-path",
}
#: Actions of events whose object begins with the name of a filing.
FILING_ACTIONS = {
    "capture",
    "change-decision",
    "change-question",
    "correct",
    "display-check",
    "earlier-events",
    "filing-end",
    "filing-set",
    "hold",
    "lift",
    "notice",
    "notice-answer",
    "restrict",
    "signal",
    "submission-file",
    "submit",
    "unrestrict",
}
#: Actions of events that a correction may name.
CORRECTABLE_ACTIONS = {"change-decision", "filing-end", "filing-set", "notice", "notice-answer", "submit"}
#: Members that every event of format 1 must have, and their types.
MEMBERS = {
    "seq": int,
    "action": str,
    "object": str,
    "details": dict,
    "refs": dict,
    "attachments": list,
    "prev": str,
}
#: Members of an event of format 2: those of its line in journal.jsonl, and those of its line in bodies.jsonl.
VISIBLE_MEMBERS = {
    "format": int,
    "seq": int,
    "at": str,
    "clock": dict,
    "prev": str,
    "chain": str,
    "n": int,
    "chain_prev": str,
    "class": str,
    "body": str,
}
BODY_MEMBERS = {
    "salt": str,
    "action": str,
    "object": str,
    "details": dict,
    "actor": dict,
    "refs": dict,
    "attachments": list,
}
#: The first line of a changes.jsonl of format 2.
CHANGES_HEADER = b'{"changes":2}'

#: All messages, in English and in Chinese.
TEXT = {
    "missing": ("the file is missing", "文件缺失"),
    "altered": ("the file was altered", "文件已改动"),
    "extra": ("the file is not in any manifest", "清单中无此文件"),
    "manifest": ("a line of the manifest cannot be read", "清单中有一行无法读取"),
    "chain": ("the chain of the journal is broken at event {0}", "档案日志的哈希链在第 {0} 个事件处断裂"),
    "unread": (
        "event {0} cannot be read; everything else was checked",
        "第 {0} 个事件无法读取；其余内容均已校验",
    ),
    "body": (
        "the body of event {0} is missing, or is not the one that the event names",
        "第 {0} 个事件的正文缺失，或与该事件所记不符",
    ),
    "bodies": ("there are more bodies than events", "正文多于事件"),
    "place": (
        "event {0} does not continue the chain of its filing, or of the archive",
        "第 {0} 个事件未接续其所属备案（或档案库）的事件链",
    ),
    "older": (
        "event {0} is of format 1, but an event before it is of format 2",
        "第 {0} 个事件为格式 1，而其前已有格式 2 的事件",
    ),
    "earlier": (
        "event {0} counts other events of format 1 of its filing than there are",
        "第 {0} 个事件所计的该备案格式 1 事件与实际不符",
    ),
    "head": (
        "the signed head of event {0} differs from the events: {1}",
        "第 {0} 个事件的签名链头与各事件不符：{1}",
    ),
    "beyond": (
        "a signed head counts event {0}, which the journal lacks, or is out of order",
        "签名链头所计的第 {0} 个事件不在档案日志中，或签名链头的顺序有误",
    ),
    "no such head": ("there is no signed head to which the file belongs", "该文件不属于任何签名链头"),
    "unread head": (
        "the signed head of event {0} cannot be read; everything else was checked",
        "第 {0} 个事件的签名链头无法读取；其余内容均已校验",
    ),
    "other key": (
        "the signed head of event {0} names another key than the one in force",
        "第 {0} 个事件的签名链头所记的密钥不是当时有效的密钥",
    ),
    "token": (
        "the timestamp token covers a signed head that is not in this package",
        "时间戳令牌所证的签名链头不在本检查包中",
    ),
    "clock back": (
        "the compliance clock of event {0} is behind that of the event before",
        "第 {0} 个事件的合规时钟早于前一事件",
    ),
    "clock ahead": (
        "the compliance clock of event {0} ran ahead of its evidence",
        "第 {0} 个事件的合规时钟快于其依据",
    ),
    "claimed": (
        "event {0} claims to be earlier than its reading of the system clock: {1}, but the clock showed {2}",
        "第 {0} 个事件所记时间早于其系统时钟读数：所记 {1}，时钟读数 {2}",
    ),
    "unread clock": ("the clock of event {0} cannot be read", "第 {0} 个事件的时钟无法读取"),
    "behind": (
        "the system clock at {0} events, which was behind, by at most {1}: order and retention do not depend on it",
        "{0} 个事件的系统时钟（偏慢，最多 {1}）：事件顺序和保存期限均不受其影响",
    ),
    "signers": ("the file differs from the keys in the journal", "文件与档案日志所记的密钥不符"),
    "unknown": (
        "event {0} is of a kind that this verifier does not know: {1}",
        "本校验程序无法识别第 {0} 个事件的类型：{1}",
    ),
    "attachment": ("an attachment does not match event {0}", "附件与第 {0} 个事件所记不符"),
    "no record": (
        "event {0} corrects event {1}, which is no such record of the same filing",
        "第 {0} 个事件更正第 {1} 个事件，而后者不是同一备案的该类记录",
    ),
    "list": ("the list does not match the changes in the journal", "清单与档案日志所记改动不符"),
    "material": ("a file does not match the list of its version: {0}", "材料与其版本清单不符：{0}"),
    "absent": ("a file is not in the package, and no reason is given: {0}", "检查包中缺少材料，且未说明原因：{0}"),
    "unexplained": (
        "no valid certificate of destruction explains why a file is missing: {0}",
        "材料缺失，且无有效的销毁证明说明原因：{0}",
    ),
    "witness": ("this archive does not continue the history of the witness line", "本档案库未延续校验行所证历史"),
    "no witness": (
        "the origin of this archive: use --witness with a line stored elsewhere. Newest line of this package:",
        "本档案库的来源：请用 --witness 与保存在别处的校验行比对。本检查包最新的校验行：",
    ),
    "tag": ("the tag is not the one recorded in the journal", "标签与档案日志所记不符"),
    "signature": ("the signature is not valid", "签名无效"),
    "seal": ("the signed manifest differs from the files of the version", "签名的清单与该版本的材料不符"),
    "about": (
        "versions.json lists other files about the submission than the journal",
        "versions.json 所列该次报送的回执、通知等文件与档案日志所记不符",
    ),
    "cover": ("the checkpoint does not cover the refs of its time", "签名点未覆盖当时的全部引用"),
    "key": ("the signing key was replaced without a signature by the old key", "更换签名密钥未经旧密钥签名"),
    "certificate": ("the signature of the certificate of destruction is not valid", "销毁证明的签名无效"),
    "unreadable": ("it cannot be read: {0}", "无法读取：{0}"),
    "no sm3": ("SM3 checksums: this Python does not support SM3", "SM3 哈希值：此 Python 不支持 SM3"),
    "unsigned": ("events from {0} on: no checkpoint covers them yet", "第 {0} 个及以后的事件：尚无签名点覆盖"),
    "no head": ("events from {0} on: no signed head covers them", "第 {0} 个及以后的事件：无签名链头覆盖"),
    "heads": (
        "signatures of signed heads: {0} of {1}; later heads, whose signatures were verified, cover them",
        "签名链头 {1} 个中 {0} 个的签名：由其后签名已校验的签名链头覆盖",
    ),
    "tokens": (
        "timestamp tokens, {0}: check them with openssl ts -verify (README.txt)",
        "时间戳令牌，{0} 个：请用 openssl ts -verify 校验（见 README.txt）",
    ),
    "bundle": (
        "the Git bundle: check it with git bundle verify (README.txt)",
        "Git bundle：请用 git bundle verify 校验（见 README.txt）",
    ),
    "lost key": (
        "event {0} replaced the signing key as lost: confirm that this was intended",
        "第 {0} 个事件以遗失为由更换了签名密钥：请确认此举属实",
    ),
    "signed late": (
        "events {0} to {1} were written without a signature and signed later: confirm that the key was missing then",
        "第 {0} 至 {1} 个事件写入时未签名，事后才签名：请确认当时确实缺少密钥",
    ),
    "left out": (
        "files left out of the package on purpose, each with its reason: {0}",
        "有意未附的材料（均载明原因）：{0} 份",
    ),
    "restricted": (
        "file restricted by the company, so it is archived, but not in the package: {0}, {1}, SHA-256 {2} ({3})",
        "备案主体限制查阅的文件，仍在档案库中保存，未附于检查包：{0}，{1}，SHA-256 {2}（{3}）",
    ),
    "not restricted": (
        "the journal does not restrict a file that the list marks as restricted: {0}",
        "清单标为限制查阅的文件，档案日志中并无相应的限制：{0}",
    ),
    "disposed": ("files deleted in disposals, as certified: {0}", "已销毁的材料（均有销毁证明）：{0} 份"),
    "corrections": (
        "Corrected records (what the package shows is as corrected; the journal has both):",
        "更正的记录（检查包按更正后的内容列示，档案日志载有更正前后的内容）：",
    ),
    "corrected": (
        "event {0} ({1}), by event {2}: {3} ({4})",
        "第 {0} 个事件（{1}），由第 {2} 个事件更正：{3}（{4}）",
    ),
    "void": ("void", "作废"),
    "not checked": ("Not checked:", "未校验："),
    "good": (
        "Checked files: {0}, journal events: {1}, versions: {2}, signatures: {3}. No findings.",
        "已校验：文件 {0} 个，档案日志事件 {1} 个，版本 {2} 个，签名 {3} 个。未发现问题。",
    ),
    "good with heads": (
        "Checked files: {0}, journal events: {1}, versions: {2}, signed heads: {4}, signatures: {3}. No findings.",
        "已校验：文件 {0} 个，档案日志事件 {1} 个，版本 {2} 个，签名链头 {4} 个，签名 {3} 个。未发现问题。",
    ),
    "bad": ("Findings: {0}. Change nothing; save this output.", "发现问题 {0} 处。请勿更改，并保存本次输出。"),
    "filled": ("Content objects copied to {1}: {0}.", "已复制到 {1} 的内容对象：{0} 个。"),
}


class Checker:
    """The state of a check: the data read, and the findings.

    A finding does not end the check, so that one run lists all of them.
    """

    def __init__(self, lang):
        """lang: "zh" for messages in Chinese, anything else for English."""
        self.language_index = 1 if lang == "zh" else 0
        # Pairs: the file or tag that is not right, and a sentence about it.
        self.findings = []
        # Sentences about what this program cannot check.
        self.unchecked = []
        # Sentences about the corrections of records.
        self.corrections = []
        # Path of each file in a manifest -> SHA-256 of its content.
        self.digests = {}
        # The events of the journal, oldest first, and the SHA-256 of each.
        self.events = []
        self.event_digests = []
        # Number of an event -> the bytes of the signed head with it, which covers the events up to this one.
        self.heads = {}
        # Name of each disposal with a signed certificate -> tags of the versions that the certificate names.
        self.certified_tags = {}
        self.version_count = 0
        self.signature_count = 0
        self.verified_head_count = 0

    def translate(self, key, *values):
        """Return a text of TEXT with the values."""
        return TEXT[key][self.language_index].format(*values)

    def add_finding(self, where, key, *values):
        """Record that the file or tag "where" is not right, for the reason TEXT[key]."""
        self.findings.append((displayable(where), displayable(self.translate(key, *values))))

    def add_unchecked(self, key, *values):
        """Record that something was not checked: TEXT[key]."""
        self.unchecked.append(self.translate(key, *values))


def readable_tag(tag):
    """Return a tag with the names of the folders, in which Git forbids some characters.

    %25 stays, because the "%" that it stands for would read as an escape.  So does a name that is not UTF-8.
    """
    return "/".join(map(readable_folder, tag.split("/")))


def readable_folder(component):
    """Return a component of a tag with the characters that its escapes stand for."""
    first, *parts = component.split("%")
    data = first.encode("utf-8")
    for part in parts:
        byte = part[:2] if part[:2].strip("0123456789ABCDEF") == "" and len(part) > 1 else ""
        if byte in ("", "5F") or (byte == "25" and part[2:3] != "+"):
            data += b"%" + part.encode("utf-8")
        else:
            data += bytes.fromhex(byte) + part[2:].encode("utf-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return component


def displayable(text):
    """Return a text in which no name moves the cursor, or shows other characters in another order."""
    return "".join(
        "".join(
            "%%%02X" % byte
            for byte in char.encode(
                "utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
            )
        )
        if any(first <= ord(char) <= last for first, last in INVISIBLE)
        else char
        for char in text
    )


# --- 1. files


def check_files(checker):
    """Compare every file with the manifests, and find the files that are in none.

    Manifests of tag files are not in any manifest themselves.
    """
    # Path -> the digests that the manifests state, by algorithm.
    expected = {}
    top_names = sorted(os.listdir(HERE))
    for name in top_names:
        for prefix in ("tagmanifest-", "manifest-"):
            algorithm = name[len(prefix) : -len(".txt")]
            if name.startswith(prefix) and name.endswith(".txt") and algorithm in MANIFESTS:
                read_manifest(checker, name, algorithm, expected)
    if "manifest-sha256.txt" not in top_names:
        checker.add_finding("manifest-sha256.txt", "missing")
    for path in sorted(expected):
        check_digests(checker, path, expected[path])
    for folder, subfolders, file_names in os.walk(HERE):
        subfolders.sort()
        for name in sorted(file_names):
            path = os.path.relpath(os.path.join(folder, name), HERE).replace(os.sep, "/")
            if path not in expected and path not in TAG_MANIFESTS:
                checker.add_finding(path, "extra")


def read_manifest(checker, name, algorithm, expected):
    """Add the digests of the manifest "name" to "expected": path -> algorithm -> digest.

    A line is a digest, two spaces and a path.  A path that leads out of the package, or that no file can have, is a
    finding, and is not read.
    """
    try:
        hashlib.new(algorithm)
    except ValueError:
        checker.add_unchecked("no sm3")
        return
    for line in read_lines(name):
        digest, separator, path_bytes = line.partition(b"  ")
        try:
            path = path_bytes.decode("utf-8")
        except UnicodeDecodeError:
            path = ""
            separator = b""
        if not separator or ".." in path.split("/") or path.startswith("/") or "\0" in path:
            checker.add_finding(name, "manifest")
            continue
        expected.setdefault(path, {})[algorithm] = digest.decode("ascii", "replace")


def check_digests(checker, path, expected_digests):
    """Hash a file, compare it with the digests by algorithm, and keep the SHA-256 in checker.digests."""
    digests = {algorithm: hashlib.new(algorithm) for algorithm in sorted({*expected_digests, "sha256"})}
    try:
        with open(disk_path(path), "rb") as stream:
            while True:
                chunk = stream.read(1 << 20)
                if not chunk:
                    break
                for digest in digests.values():
                    digest.update(chunk)
    except FileNotFoundError:
        checker.add_finding(path, "missing")
        return
    except OSError as error:
        checker.add_finding(path, "unreadable", error.strerror)
        return
    checker.digests[path] = digests["sha256"].hexdigest()
    if any(digests[algorithm].hexdigest() != digest for algorithm, digest in expected_digests.items()):
        checker.add_finding(path, "altered")


def disk_path(path):
    """Return where a path of the package is on this machine."""
    return os.path.join(HERE, *path.split("/"))


def read_lines(path):
    """Return the lines of a file without their line feeds; bytes after the last line feed are not a line."""
    with open(disk_path(path), "rb") as stream:
        return stream.read().split(b"\n")[:-1]


# --- 2. journal

# --- begin of what the program contains as well (archiver/verify/chain_replay.py)

#: Used in place of the digest of a predecessor in the first event of a chain, and in the first signed head.
GENESIS = "sha256:" + "0" * 64
#: Members of a signed head that do not follow from the events: the key, the first event of the batch, and the
#: abandoned heads. Of these heads, only one thing is checked: none of them is in the journal.
UNCOMPARED_MEMBERS = ("key", "batch", "abandoned")


def sha256_digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in the form of format 2, "sha256:" and hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_chain_place(event: dict[str, Any]) -> tuple[str, int] | None:
    """Return the name of the chain, and the number in the chain, that a parsed ``event.json`` states.

    Return None if they are missing or not valid. Nothing else in the event needs to be readable.
    """
    chain, number = event.get("chain"), event.get("n")
    is_filing_chain = isinstance(chain, str) and len(chain) == 32 and not chain.strip("0123456789abcdef")
    if chain not in ("archive", "house") and not is_filing_chain:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**12:
        return None
    return str(chain), number


def parse_microseconds(text: str) -> int:
    """Return a time in RFC 3339 with a zone, in microseconds since 1970; raises ValueError for any other text."""
    # Before Python 3.11, fromisoformat() does not understand the letter Z.
    time = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    if time.tzinfo is None:
        raise ValueError("time without a zone")
    epoch = datetime.datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (time - epoch) // datetime.timedelta(microseconds=1)


def largest_clock_gain(earlier: dict[str, Any], later: dict[str, Any], is_next: bool) -> int | None:
    """Return the most microseconds that the compliance clock can gain between two events; None without a limit.

    "earlier" and "later" are the members "clock" of the events. If "is_next", there is no event between them: the
    compliance clock gains the smallest of the gains of the wall clock, BOOTTIME and uptime. It gains nothing
    across a boot, or if a time namespace shifted the clocks. Otherwise the events between them are not known. The
    wall clock can have been set back and forth there, so only BOOTTIME and uptime limit the gain, and across a
    boot nothing limits it.
    """
    is_same_boot = bool(earlier["boot_id"]) and earlier["boot_id"] == later["boot_id"]
    is_shifted = earlier["shifted"] or later["shifted"]
    if is_next and (is_shifted or not is_same_boot):
        return 0
    if not is_same_boot:
        return None
    gains = [(int(later["uptime_ns"]) - int(earlier["uptime_ns"])) // 1000]
    if not is_shifted:
        gains.append((int(later["boottime_ns"]) - int(earlier["boottime_ns"])) // 1000)
    if is_next:
        gains.append(parse_microseconds(later["wall"]) - parse_microseconds(earlier["wall"]))
    return max(0, min(gains))


def seconds_behind(at: str, previous_at: str | None, clock: dict[str, Any]) -> tuple[int, int]:
    """Return two numbers of whole seconds: by how much the wall time "at" of an event is before two other times.

    The first is the wall time of the previous event, None for the first event; the second is the compliance clock
    of the event itself, in its member "clock". A number is 0 if "at" is not before that time.
    """
    wall = parse_microseconds(at)
    previous = wall if previous_at is None else parse_microseconds(previous_at)
    return max(0, (previous - wall) // 10**6), max(0, (parse_microseconds(clock["time"]) - wall) // 10**6)


def seconds_claimed(at: str, clock: dict[str, Any]) -> int:
    """Return by how many seconds the time "at" of an event is earlier than the wall clock in its member "clock".

    A wrong wall clock shows in both times, so it causes no difference. Up to ten minutes count as 0: a program may
    read the time before a long copy, and the clocks after it, when it writes the event.
    """
    seconds = (parse_microseconds(clock["wall"]) - parse_microseconds(at)) // 10**6
    return seconds if seconds > 600 else 0


class PackagedChainReplay:
    """Counts the events of each chain, and compares the counts with the statements of events and signed heads."""

    def __init__(self) -> None:
        """Begin before the first event of format 2."""
        #: Name of a chain -> number and digest of its newest event.
        self.heads: dict[str, tuple[int, str]] = {}
        #: The digest of the archive's first event, in either format; the caller sets it.
        self.first_event_digest = ""
        #: The digest of the newest signed head, and the number of the last event that it covers; 0 before the
        #: first head.
        self.head_digest = GENESIS
        self.covered_seq = 0
        #: Number and digest of the newest event of format 2, and number of the first one; 0 before it.
        self.newest_seq = 0
        self.newest_digest = ""
        self._first_seq = 0
        #: The digests of all signed heads so far, and the digests that any of them names as abandoned.
        self.all_head_digests: set[str] = set()
        self.abandoned_digests: set[str] = set()

    def add_event(self, event: dict[str, Any], digest: str, seq: int) -> tuple[bool, bool]:
        """Count the next event of format 2, and check its place in its chain.

        "event" is the parsed ``event.json``, "digest" its digest, and "seq" its number in the journal. Return two
        results: True if the event has the next number of the chain, and True if it names the digest of the chain's
        previous event. An event without a valid place is in no chain, and is unreadable: both are True.
        """
        self.newest_seq, self.newest_digest = seq, digest
        self._first_seq = self._first_seq or seq
        place = read_chain_place(event)
        if place is None:
            return True, True
        chain, number = place
        count, previous_digest = self.heads.get(chain, (0, GENESIS))
        self.heads[chain] = (number, digest)
        return number == count + 1, event.get("chain_prev") == previous_digest

    def first_uncovered_seq(self) -> int:
        """Return the number of the first event of format 2 that no signed head covers yet."""
        return self.covered_seq + 1 if self.covered_seq else self._first_seq

    def compare_head(self, head_bytes: bytes) -> list[str]:
        """Compare the signed head in the commit of the newest event with the events so far, and count the head.

        Return the sorted names of the members that differ from the events; of all compared members if the head
        cannot be read.  "abandoned" is among them if any head names this head as abandoned, or if this head names
        a head that is in the journal.  The signature is not checked here.
        """
        expected = {
            "archive": self.first_event_digest,
            "format": 2,
            "first": self.first_uncovered_seq(),
            "last": self.newest_seq,
            "event": self.newest_digest,
            "chain_heads": self.chain_heads_digest(),
            "chains": len(self.heads),
            "previous_head": self.head_digest,
        }
        self.head_digest = sha256_digest(head_bytes)
        self.covered_seq = self.newest_seq
        self.all_head_digests.add(self.head_digest)
        try:
            stated = json.loads(head_bytes.decode("utf-8"))
            differing_names = [name for name, value in expected.items() if stated.get(name) != value]
            known_names = {*expected, *UNCOMPARED_MEMBERS}
            differing_names += [name for name in stated if name not in known_names and not name.startswith("x-")]
            abandoned = set(stated.get("abandoned", []))
            self.abandoned_digests |= abandoned
            if self.head_digest in self.abandoned_digests or abandoned & self.all_head_digests:
                differing_names.append("abandoned")
        except (ValueError, AttributeError, TypeError, RecursionError):
            # The head is not a JSON object, or "abandoned" is not a list of texts.
            differing_names = list(expected)
        return sorted(differing_names)

    def chain_heads_digest(self) -> str:
        """Return the digest over one line for each chain, a JSON list: name, number of events, newest digest."""
        lines = [
            json.dumps([chain, count, digest], separators=(",", ":")) + "\n"
            for chain, (count, digest) in sorted(self.heads.items())
        ]
        return sha256_digest("".join(lines).encode("ascii"))


# --- end of what the program contains as well


def check_journal(checker):
    """Read all events and signed heads, and check the two chains, the heads, and the attachments.

    "prev" of an event is the SHA-256 of the previous line.  An event whose line cannot be read has no "prev", so
    the chain is not checked there.
    """
    replay = PackagedChainReplay()
    previous_digest = ZERO
    lines = read_lines("data/journal.jsonl")
    bodies = read_bodies(checker, lines)
    read_heads(checker, len(lines))
    for number, line in enumerate(lines, 1):
        event = read_event(checker, number, line, bodies[number - 1])
        if event["prev"] not in (previous_digest, None) or event["seq"] != number:
            checker.add_finding("data/journal.jsonl", "chain", number)
        previous_digest = event["sha256"]
        checker.events.append(event)
        checker.event_digests.append(previous_digest)
        check_place(checker, number, event, replay)
        if not event["is_read"]:
            continue
        if event["action"] not in ACTIONS and event.get("class") != "note":
            checker.add_finding("data/journal.jsonl", "unknown", number, event["action"])
        for item in event["attachments"]:
            path = "data/journal/%d/%s" % (event["seq"], item["name"])
            # The package leaves out most attachments of filings that were not selected.
            if path in checker.digests and checker.digests[path] != item["sha256"]:
                checker.add_finding(path, "attachment", event["seq"])
    for path in sorted(checker.digests):
        parts = path.split("/")
        is_attachment_path = parts[:2] == ["data", "journal"] and len(parts) == 4
        if is_attachment_path and not has_attachment(checker, parts[2], parts[3]):
            checker.add_finding(path, "attachment", parts[2])
    check_earlier_events(checker, lines)
    check_clocks(checker)
    check_corrections(checker)


def read_bodies(checker, lines):
    """Return the line of bodies.jsonl for each line of the journal; empty for an event of format 1.

    A package without an event of format 2 has no such file.
    """
    bodies = []
    if "data/bodies.jsonl" in checker.digests:
        bodies = read_lines("data/bodies.jsonl")
    elif any(has_body(line) for line in lines):
        checker.add_finding("data/bodies.jsonl", "missing")
    if len(bodies) > len(lines):
        checker.add_finding("data/bodies.jsonl", "bodies")
    return bodies + [b""] * (len(lines) - len(bodies))


def has_body(data):
    """Return True if the bytes of an event are of format 2, so that a body belongs to them."""
    return b'"body":"sha256:' in data and not data.startswith(b'{"action":')


def read_heads(checker, event_count):
    """Read the signed heads into checker.heads, oldest first; each covers a later event than the one before."""
    newest_number = 0
    for line in read_lines("data/heads.jsonl") if "data/heads.jsonl" in checker.digests else []:
        try:
            document = json.loads(line)
            # A head that the archive itself could not read is named by the event with it.
            number = document["seq"] if "unreadable" in document else document["last"]
            is_later = newest_number < number <= event_count
        except (ValueError, KeyError, TypeError, RecursionError):
            number, is_later = "?", False
        if not is_later:
            checker.add_finding("data/heads.jsonl", "beyond", number)
            continue
        path = "data/heads/%d.json" % number
        checker.heads[number], is_set_aside = read_stored(checker, line, path, number)
        if is_set_aside:
            checker.add_finding("data/heads.jsonl", "unread head", number)
        elif path in checker.digests:
            checker.add_finding(path, "attachment", number)
        newest_number = number
    expected_paths = {
        "data/heads/%d.%s" % (number, suffix) for number in checker.heads for suffix in ("sig", "json")
    }
    for path in sorted(checker.digests):
        if path.startswith("data/heads/") and path not in expected_paths:
            checker.add_finding(path, "no such head")


def read_stored(checker, line, path, number):
    """Return the bytes of a file of the journal, and whether they are in the file "path".

    "line" is the line for this file, and has its bytes.  But if the archive itself could not read the file, the
    bytes are in "path", and the line states their SHA-256.
    """
    if b'"unreadable":' not in line:
        return line + b"\n", False
    try:
        stated_digest = json.loads(line).get("unreadable")
    except (ValueError, AttributeError, RecursionError):
        stated_digest = None
    if stated_digest is None:
        return line + b"\n", False
    if checker.digests.get(path) != stated_digest:
        checker.add_finding(path, "attachment", number)
        return b"", True
    with open(disk_path(path), "rb") as stream:
        return stream.read(), True


def read_event(checker, number, line, body_line):
    """Return the event of a line of the journal and of a line of bodies.jsonl.

    It has the members of format 1, in either format, and:
     sha256:  the SHA-256 of its bytes, so that the next event can be checked
     visible: its parsed line in format 2, even if its body cannot be read; None in format 1
     stated:  its parsed bytes, of whichever format; {} if they are no JSON object
     has_body: True in format 2, as far as its bytes tell
     is_read: False for an event that cannot be read, which is a finding.  It is about nothing, and its "prev" is
              None if not even its line can be read.
    """
    data, is_set_aside = read_stored(checker, line, "data/journal/%d/event.json" % number, number)
    body, is_body_set_aside = read_stored(checker, body_line, "data/journal/%d/body.json" % number, number)
    names = ["event.json"] * is_set_aside + ["body.json"] * is_body_set_aside
    event = {
        "seq": number,
        "action": "",
        "object": "",
        "details": {},
        "refs": {},
        "attachments": [{"name": name, "sha256": ""} for name in names],
        "prev": None,
    }
    stated = load_object(data)
    own = {"sha256": hashlib.sha256(data).hexdigest(), "stated": stated, "has_body": has_body(data)}
    own.update(visible=None, is_read=False)
    try:
        if own["has_body"]:
            if is_set_aside:
                raise ValueError
            event.update(read_visible(stated, data))
            own["visible"] = stated
            if sha256_digest(body) != event["body"]:
                checker.add_finding("data/bodies.jsonl", "body", number)
                return dict(event, **own)
            if is_body_set_aside:
                raise ValueError
            event.update(read_body(body))
        else:
            if is_set_aside:
                raise ValueError
            if body_line:
                checker.add_finding("data/bodies.jsonl", "body", number)
            event = read_event_1(stated)
        own["is_read"] = True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        checker.add_finding("data/journal.jsonl", "unread", number)
    return dict(event, **own)


def load_object(data):
    """Return the JSON object in the bytes; {} if they are none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def read_event_1(event):
    """Return a parsed event of format 1.  Raises ValueError or KeyError for anything else."""
    for name, kind in MEMBERS.items():
        if not isinstance(event[name], kind):
            raise ValueError(name)
    return event


def read_visible(document, data):
    """Return the members of an event.json of format 2, with "prev" as in format 1; data: the bytes of "document".

    Raises ValueError for anything else.
    """
    visible = load_members(document, data, VISIBLE_MEMBERS)
    if visible["format"] != 2 or visible["class"] not in ("act", "note") or read_chain_place(visible) is None:
        raise ValueError("format")
    return dict(visible, prev=without_algorithm("sha256", visible["prev"]))


def read_body(data):
    """Return the members of a body.json, with object ids and digests as in format 1.

    Raises ValueError, KeyError, TypeError or AttributeError for anything else.
    """
    body = load_members(load_object(data), data, BODY_MEMBERS)
    refs = {ref: without_algorithm("sha1", object_id) for ref, object_id in body["refs"].items()}
    attachments = [
        {"name": item["name"], "sha256": without_algorithm("sha256", item["digest"])}
        for item in body["attachments"]
    ]
    return dict(body, refs=refs, attachments=attachments)


def load_members(document, data, kinds):
    """Return the members of a file of format 2 by their names.

    document: the parsed bytes "data".  kinds: name -> type of each member.

    Members that begin with "x-" are left out.  Raises ValueError for any other unknown member, which may change
    what the others mean; for a missing member, or one of another type; and for a form that is not canonical, since
    of a repeated member, one program takes the first and another the last.
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    members = {name: value for name, value in document.items() if not name.startswith("x-")}
    if text.encode("utf-8") + b"\n" != data or members.keys() != kinds.keys():
        raise ValueError("members")
    for name, kind in kinds.items():
        if type(members[name]) is not kind:
            raise ValueError(name)
    return members


def without_algorithm(algorithm, text):
    """Return the hexadecimal digits of a digest of format 2, such as "sha256:<hex>".

    Raises ValueError for another algorithm, AttributeError for anything but a text.
    """
    if not text.startswith(algorithm + ":"):
        raise ValueError(algorithm)
    return text[len(algorithm) + 1 :]


def check_place(checker, number, event, replay):
    """Check an event's place in the chain, and the signed head in the same commit, if any."""
    if number == 1:
        replay.first_event_digest = "sha256:" + event["sha256"]
    has_begun = replay.newest_seq > 0
    if event["is_read"] and event["visible"] is None and has_begun:
        checker.add_finding("data/journal.jsonl", "older", number)
    if event["has_body"] or has_begun:
        # An event that cannot be read has its place as well, if it states one.
        is_next, follows = replay.add_event(event["stated"], "sha256:" + event["sha256"], number)
        if not is_next or not follows:
            checker.add_finding("data/journal.jsonl", "place", number)
    if number in checker.heads:
        first_number = replay.first_uncovered_seq()
        differing = replay.compare_head(checker.heads[number])
        batch = member_of_head(checker.heads[number], "batch")
        if type(batch) is not int or not first_number <= batch <= number:
            differing.append("batch")
        elif first_number < batch:
            checker.add_unchecked("signed late", first_number, batch - 1)
        if differing:
            checker.add_finding("data/heads.jsonl", "head", number, ", ".join(differing))


def check_clocks(checker):
    """Check the clocks that each event states, and count the events with a wall clock that was behind.

    Retention counts by the compliance clock, which gains only time on which the clocks of the machine agree.  Where
    an event cannot be read, only the events around it are compared.
    """
    previous = None
    sizes = []
    for number, event in enumerate(checker.events, 1):
        # The line of an event of format 2 is here even if its body cannot be read.
        clock, at = event.get("clock"), event.get("at")
        if clock is None or at is None:
            continue
        try:
            size = max(seconds_behind(at, previous[2] if previous else None, clock))
            if size:
                sizes.append(size)
            if seconds_claimed(at, clock):
                checker.add_finding("data/journal.jsonl", "claimed", number, at, clock["wall"])
            if previous:
                check_gain(checker, event, number, previous)
        except (ValueError, KeyError, TypeError, AttributeError):
            checker.add_finding("data/journal.jsonl", "unread clock", number)
            continue
        previous = (number, clock, at)
    if sizes:
        checker.add_unchecked("behind", len(sizes), describe_seconds(checker, max(sizes)))


def check_gain(checker, event, number, previous):
    """Check what the compliance clock gained since the event before; previous: its number, clock, and wall time."""
    previous_number, previous_clock, _ = previous
    gained = parse_microseconds(event["clock"]["time"]) - parse_microseconds(previous_clock["time"])
    if gained < 0:
        checker.add_finding("data/journal.jsonl", "clock back", number)
        return
    if not event["is_read"]:
        # It may be a timestamp token, which sets the clock.
        return
    largest = largest_clock_gain(previous_clock, event["clock"], number == previous_number + 1)
    if event["action"] == "timestamp":
        # openssl checks that the token proves this time.
        token_time = parse_microseconds(event["details"]["time"])
        largest = max(largest or 0, token_time - parse_microseconds(previous_clock["time"]))
    if largest is not None and gained > largest:
        checker.add_finding("data/journal.jsonl", "clock ahead", number)


def describe_seconds(checker, seconds):
    """Return a duration in days, hours, minutes and seconds, of which the two largest are shown."""
    units = ((86400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"))
    parts = []
    for unit_seconds, english, chinese in units:
        count, seconds = divmod(seconds, unit_seconds)
        if count or parts:
            parts.append((count, (english, chinese)[checker.language_index]))
    return " ".join("%d %s" % part for part in parts[:2] if part[0])


def check_earlier_events(checker, lines):
    """Check what an upgrade states of each filing: the count, and a salted digest of its events of format 1."""
    lines_by_filing = {}
    for number, event in enumerate(checker.events, 1):
        filing = event["object"].split("/", 1)[0]
        if event["visible"] is None and event["action"] in FILING_ACTIONS:
            lines_by_filing.setdefault(filing, []).append(lines[number - 1])
        elif event["action"] == "earlier-events":
            earlier_lines = lines_by_filing.get(event["object"], [])
            details = event["details"]
            digest = hashlib.sha256(bytes.fromhex(details["salt"]))
            for earlier_line in earlier_lines:
                digest.update(earlier_line + b"\n")
            stated = (details["count"], details["digest"])
            if stated != (len(earlier_lines), "sha256:" + digest.hexdigest()):
                checker.add_finding("data/journal.jsonl", "earlier", event["seq"])


def check_corrections(checker):
    """Check that each correction names an earlier valid record of the same filing, and list all corrections."""
    details_by_seq = {}
    for event in checker.events:
        if event["action"] in CORRECTABLE_ACTIONS:
            details_by_seq[event["seq"]] = event["details"]
        elif event["action"] == "correct":
            try:
                check_correction(checker, event, details_by_seq)
            except (KeyError, TypeError, AttributeError):
                checker.add_finding("data/journal.jsonl", "unread", event["seq"])


def check_correction(checker, event, details_by_seq):
    """Check one correction, and apply it.

    details_by_seq: number of a record that is not void -> its details, with earlier corrections applied.
    """
    correction, seq = event["details"], event["details"]["corrects"]
    record = checker.events[seq - 1] if seq in details_by_seq else {"action": "", "object": ""}
    if (record["action"], record["object"].split("/", 1)[0]) != (correction["kind"], event["object"]):
        checker.add_finding("data/journal.jsonl", "no record", event["seq"], seq)
        return
    details, changes = dict(details_by_seq[seq]), []
    for name, new_value in correction["fields"].items():
        if name.startswith("fields."):
            name = name[len("fields.") :]
            values = details["fields"] = dict(details["fields"])
        else:
            values = details
        changes.append("%s %s -> %s" % (as_json(name)[1:-1], as_json(values.get(name)), as_json(new_value)))
        values[name] = new_value
    details_by_seq[seq] = details
    if correction["void"]:
        changes.append(checker.translate("void"))
        del details_by_seq[seq]
    # In JSON, a forged text cannot move the cursor of a terminal.
    texts = (", ".join(changes), as_json(correction["reason"]))
    checker.corrections.append(checker.translate("corrected", seq, correction["kind"], event["seq"], *texts))


def as_json(value):
    """Return a value in one line."""
    return json.dumps(value, ensure_ascii=False)


def has_attachment(checker, seq, name):
    """Return True if the event with the number "seq", a text, has an attachment "name"."""
    if not seq.isdigit() or not 0 < int(seq) <= len(checker.events):
        return False
    return any(item["name"] == name for item in checker.events[int(seq) - 1]["attachments"])


def read_attachment(event, name):
    """Return the bytes of an attachment.  Raises OSError if the package does not hold it."""
    with open(os.path.join(HERE, "data", "journal", str(event["seq"]), name), "rb") as stream:
        return stream.read()


# --- 4. versions


def check_versions(checker):
    """Replay the changes of each submission, and compare every version with its list in the package.

    Return what each submission to the regulator has to sign, by the number of its event: the digest of the materials
    of its version, without the files that are about the submission; empty if the version lacks one of these.
    """
    entries = {entry["tag"]: entry for entry in read_versions()}
    submissions = {submission_of(tag) for tag in entries}
    submit_events = {}
    for event in checker.events:
        if event["action"] == "submit":
            submit_events.setdefault(event["details"]["version"], []).append(event)
    list_digests, states, checked_tags = {}, {}, set()
    for event in checker.events:
        if event["action"] != "capture" or not any(
            item["name"] == "changes.jsonl" for item in event["attachments"]
        ):
            continue
        # The object of a capture is the tag of its version.
        tag = event["object"]
        if submission_of(tag) not in submissions:
            continue
        state = states.setdefault(submission_of(tag), {})
        apply_changes(state, read_attachment(event, "changes.jsonl").split(b"\n")[:-1])
        if tag in entries:
            for submit_event in submit_events.get(tag, []):
                list_digests[submit_event["seq"]] = digest_of_submission(state, submit_event["details"])
            check_list(checker, entries[tag], state)
            checked_tags.add(tag)
            checker.version_count += 1
    for tag in sorted(entries.keys() - checked_tags):
        checker.add_finding(entries[tag]["list"], "list")
    return list_digests


def read_versions():
    """Return the entries of versions.json, one for each version in the package."""
    return json.loads(b"".join(read_lines("data/versions.json")))


def submission_of(tag):
    """Return the submission, FILING/SUBMISSION, of a version's tag, FILING/SUBMISSION/vNUMBER."""
    return tag.rsplit("/", 1)[0]


def read_changes(lines):
    """Return the changes in the lines of a changes.jsonl; each has its digest as "sha256", as in format 1."""
    if lines[:1] != [CHANGES_HEADER]:
        return [json.loads(line) for line in lines]
    changes = [json.loads(line) for line in lines[1:]]
    for change in changes:
        if "digest" in change:
            change["sha256"] = without_algorithm("sha256", change["digest"])
    return changes


def apply_changes(state, lines):
    """Apply the lines of a changes.jsonl to "state": path -> (SHA-256, size); the SHA-256 of a folder is None.

    All removals come first, because a path may be removed by one change and added again by another.
    """
    changes = read_changes(lines)
    for change in changes:
        if change["op"] in ("delete", "rmdir"):
            state.pop(change["path"], None)
        elif change.get("from") is not None:
            state.pop(change["from"], None)
    for change in changes:
        if change["op"] not in ("delete", "rmdir"):
            state[change["path"]] = (change.get("sha256"), change.get("size", 0))


def check_list(checker, entry, state):
    """Check the list of a version: it has the materials of "state", and each is in the package or has a reason."""
    rows = [json.loads(line) for line in read_lines(entry["list"])]
    # The list marks a folder, which has no SHA-256, with a slash at the end.
    listed = {
        row["path"].rstrip("/") if row["sha256"] is None else row["path"]: (row["sha256"], row["size"])
        for row in rows
    }
    if listed != state:
        checker.add_finding(entry["list"], "list")
    for row in rows:
        if row["sha256"] is None:
            continue
        if row["file"] is not None:
            if checker.digests.get(row["file"]) != row["sha256"]:
                checker.add_finding(entry["list"], "material", row["path"])
        elif not row.get("why"):
            checker.add_finding(entry["list"], "absent", row["path"])


def digest_of_submission(state, details):
    """Return the SHA-256 over what was submitted of a version: not the files that are about the submission.

    Return an empty text if the version has no such file.
    """
    submitted = dict(state)
    for file in details.get("about") or []:
        sha256 = submitted.pop(file["path"], (None, 0))[0]
        if sha256 != without_algorithm("sha256", file["digest"]):
            return ""
    return digest_of_list(submitted)


def digest_of_list(state):
    """Return the SHA-256 over a version's materials, which a submission to the regulator signs.

    It is taken over one line of canonical JSON for each material, sorted by the bytes of the path.
    """
    digest = hashlib.sha256()
    for path in sorted(state, key=bytes_of_path):
        sha256, size = state[path]
        line = {"path": path, "sha256": sha256, "size": size}
        digest.update(
            json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8") + b"\n"
        )
    return digest.hexdigest()


def bytes_of_path(text):
    """Return the bytes of a path. In the text, %XX stands for an undisplayable byte.

    A percent sign without two hexadecimal digits after it stands for itself.
    """
    path, data, position = bytearray(), text.encode("utf-8"), 0
    digits = b"0123456789abcdefABCDEF"
    while position < len(data):
        pair = data[position + 1 : position + 3]
        if data[position] == 0x25 and len(pair) == 2 and pair[0] in digits and pair[1] in digits:
            path.append(int(pair, 16))
            position += 3
        else:
            path.append(data[position])
            position += 1
    return bytes(path)


# --- 3. keys, 5. tags and heads


def check_tags(checker, list_digests, witness):
    """Go through the journal with the refs and the signing key of each time, and check tags and signed heads.

    list_digests: the number of a submission's event -> the digest to be signed, as check_versions returns them.
    witness: a witness line, or None.
    """
    # Full name of a ref -> object, as of the events so far.
    refs = {}
    # The file allowed_signers only grows: each new key is appended. signers is the whole file, and key is the part
    # that the last event appended: the line with the key in force.
    signers, key = b"", b""
    verified_heads = select_heads(checker, witness)
    for number, event in enumerate(checker.events, 1):
        action, old_key, is_format_1 = event["action"], key, event["visible"] is None
        if action == "checkpoint" and is_format_1:
            check_checkpoint(checker, event, dict(refs, **{"refs/heads/journal": journal_commit(event)}), key)
        if action == "key-rotate" and is_format_1:
            check_tag(checker, event, event["object"], key)
        if action in ("init", "key-rotate", "key-replace"):
            signers, key = check_new_key(checker, number, event, signers)
        if action == "format":
            signers, key = check_format(checker, event, signers, key)
        if action == "key-replace":
            checker.add_unchecked("lost key", event["seq"])
        if number in checker.heads:
            signer = old_key if action == "key-rotate" else key
            check_head(checker, number, signer, number in verified_heads, is_rotation=action == "key-rotate")
        elif action in ("key-rotate", "key-replace") and not is_format_1:
            checker.add_finding("data/heads/%d.sig" % number, "key")
        if action == "timestamp" and not is_format_1:
            check_token(checker, event)
        if action == "submit":
            check_tag(checker, event, event["details"]["tag"], key)
            check_manifest(checker, event, list_digests.get(event["seq"]))
        if action == "dispose-certify":
            check_certificate(checker, event, key)
        refs.update(event["refs"])
    if checker.digests.get("data/allowed_signers") != hashlib.sha256(signers).hexdigest():
        checker.add_finding("data/allowed_signers", "signers")
    check_tail(checker)
    token_count = sum(event["action"] == "timestamp" for event in checker.events)
    if token_count:
        checker.add_unchecked("tokens", token_count)


def check_manifest(checker, event, list_digest):
    """Check the digest signed with a submission; the tag names the digest if files are left out.

    list_digest: the digest of what was submitted; None if the version is not in this package.
    """
    details = event["details"]
    stated_digest = details["manifest_sha256"]
    named = ("\nmanifest-sha256 %s\n" % stated_digest).encode("utf-8", "surrogateescape")
    is_named = not details.get("about") or named in (read_tag(event) or b"")
    if not is_named or list_digest not in (None, stated_digest):
        checker.add_finding(readable_tag(details["tag"]), "seal")


def check_new_key(checker, number, event, signers):
    """Return the file allowed_signers and the key in force after an event that brings a key.

    The first event brings the first one.  Each later one is appended as a line; in format 1, the tag that the old
    key has signed names this line.
    """
    new_signers = read_attachment(event, "allowed_signers")
    # If the file was rewritten, nobody can tell which key is new.
    key = new_signers[len(signers) :] if new_signers.startswith(signers) else new_signers
    is_in_place = (event["action"] == "init") == (number == 1)
    if event["action"] == "key-rotate" and event["visible"] is None:
        is_in_place = is_in_place and key.strip() in (read_tag(event) or b"")
    if key.count(b"\n") != 1 or not new_signers.startswith(signers) or not is_in_place:
        checker.add_finding("data/journal/%d/allowed_signers" % event["seq"], "key")
    return new_signers, key


def select_heads(checker, witness):
    """Return the numbers of the signed heads whose signatures are verified.  All would take 10 ms each."""
    numbers = {max(checker.heads, default=0)}
    words = (witness or "").split()
    if words[1:2] == ["2"] and len(words) > 3 and words[3].isdecimal():
        numbers.add(int(words[3]))
    for number, event in enumerate(checker.events, 1):
        if event["action"] in ("key-rotate", "key-replace"):
            numbers.add(number)
        if event["action"] == "timestamp":
            numbers.add(event["details"].get("seq"))
    return numbers


def check_head(checker, number, signer, is_verified, is_rotation):
    """Check that the signed head of an event names and was signed by the key "signer".

    The signature is calculated only if "is_verified"; otherwise, the key and the namespace in it are compared.
    """
    path = "data/heads/%d.sig" % number
    if path not in checker.digests:
        checker.add_finding(path, "missing")
        return
    head = checker.heads[number]
    with open(disk_path(path), "rb") as stream:
        armored = stream.read()
    if member_of_head(head, "key") not in {fingerprint(key) for key in public_keys(signer, HEAD_NAMESPACE)}:
        checker.add_finding("data/heads.jsonl", "other key", number)
    if is_verified:
        is_right = is_signed(head, armored, signer, HEAD_NAMESPACE)
    else:
        is_right = names_signer(armored, signer, HEAD_NAMESPACE)
    if not is_right:
        checker.add_finding(path, "key" if is_rotation else "signature")
    elif is_verified:
        checker.signature_count += 1
        checker.verified_head_count += 1


def member_of_head(head, name):
    """Return a member of a signed head; None if the head has no such member, or cannot be read."""
    try:
        return json.loads(head).get(name)
    except (ValueError, AttributeError, RecursionError):  # The head is not a JSON object.
        return None


def fingerprint(public_key):
    """Return the fingerprint of a key as "ssh-keygen -l" prints it."""
    digest = base64.b64encode(hashlib.sha256(public_key).digest())
    return "SHA256:" + digest.decode("ascii").rstrip("=")


def check_format(checker, event, signers, key):
    """Return the file allowed_signers and the key in force after an event that states the format.

    An upgrade only allows the last key to sign heads as well.  An archive that was created in format 2 lists no
    key here.  A format that this program does not know is a finding.
    """
    details = event["details"]
    if details["number"] != 2 or details["needed_to_read"]:
        checker.add_finding("data/journal.jsonl", "unknown", event["seq"], "format %s" % details["number"])
    if not any(item["name"] == "allowed_signers" for item in event["attachments"]):
        return signers, key
    new_signers = read_attachment(event, "allowed_signers")
    if not is_upgraded_list(signers, new_signers):
        checker.add_finding("data/journal/%d/allowed_signers" % event["seq"], "key")
    return new_signers, new_signers.rpartition(b"\n")[0].rpartition(b"\n")[2] + b"\n"


def is_upgraded_list(old_signers, new_signers):
    """Return True if two allowed_signers files differ at most in namespaces that the last line has gained."""
    old_lines, new_lines = old_signers.split(b"\n"), new_signers.split(b"\n")
    # A line feed ends the file, so that an empty text follows the last line.
    if len(old_lines) < 2 or len(new_lines) < 2 or old_lines[:-2] != new_lines[:-2]:
        return False
    old_words, old_namespaces = split_namespaces(old_lines[-2])
    new_words, new_namespaces = split_namespaces(new_lines[-2])
    return old_words == new_words and set(old_namespaces or ()) <= set(new_namespaces or ())


def check_token(checker, event):
    """Check that the head that a timestamp token covers is in the package; openssl checks the token itself."""
    head = checker.heads.get(event["details"].get("seq"), b"")
    if sha256_digest(head) != event["details"].get("head"):
        checker.add_finding("data/journal/%d/token.tsr" % event["seq"], "token")


def check_tail(checker):
    """Report the newest events if nothing signed covers them: in format 1 no checkpoint, in format 2 no head."""
    first_number = next((number for number, event in enumerate(checker.events, 1) if event["visible"]), None)
    if first_number is not None:
        newest_number = max(checker.heads, default=first_number - 1)
        if newest_number < len(checker.events):
            checker.add_finding("data/heads.jsonl", "no head", newest_number + 1)
        unverified_count = len(checker.heads) - checker.verified_head_count
        if unverified_count:
            checker.add_unchecked("heads", unverified_count, len(checker.heads))
        return
    last_checkpoint = max([event["seq"] for event in checker.events if event["action"] == "checkpoint"], default=0)
    if last_checkpoint < len(checker.events):
        checker.add_unchecked("unsigned", last_checkpoint + 1)


def journal_commit(event):
    """Return the target of a checkpoint's tag, the commit of the event before; empty without the tag."""
    body = read_tag(event)
    # A tag object begins with "object " and 40 hexadecimal digits.
    return body[7:47].decode("ascii", "replace") if body is not None else ""


def read_tag(event):
    """Return the tag object of an event; None if the package does not hold it."""
    try:
        with open(os.path.join(HERE, "data", "tags", str(event["seq"])), "rb") as stream:
            return stream.read()
    except OSError:  # The caller reports the tag as missing.
        return None


def check_tag(checker, event, name, key):
    """Check that an event's tag is recorded in the refs, has the name "name", and is signed with "key"."""
    path = "data/tags/%d" % event["seq"]
    body = read_tag(event)
    if body is None:
        checker.add_finding(path, "missing")
        return
    object_id = hashlib.sha1(b"tag %d\0" % len(body) + body).hexdigest()
    if object_id != event["refs"].get("refs/tags/" + name) or ("\ntag %s\n" % name).encode("utf-8") not in body:
        checker.add_finding(path, "tag")
    # The signature is the end of the tag, and signs everything before it.
    signature_start = body.find(SIGNATURE_BEGIN)
    if signature_start < 0 or not is_signed(body[:signature_start], body[signature_start:], key):
        checker.add_finding(path, "signature")
        return
    checker.signature_count += 1


def check_checkpoint(checker, event, refs, key):
    """Check the tag of a checkpoint, and the digests in the tag: of all refs, and of the event before.

    refs: full name -> object of every ref before the checkpoint.
    """
    check_tag(checker, event, event["object"], key)
    sorted_names = sorted(refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    lines = "".join("%s %s\n" % (refs[ref], ref) for ref in sorted_names).encode("utf-8", "surrogateescape")
    refs_digest = hashlib.sha256(lines).hexdigest()
    body = read_tag(event) or b""
    if refs_digest != event["details"]["refs_sha256"] or ("refs-sha256 %s\n" % refs_digest).encode() not in body:
        checker.add_finding("data/tags/%d" % event["seq"], "cover")
    if ("\nevent-sha256 %s\n" % event["prev"]).encode() not in body:
        checker.add_finding("data/tags/%d" % event["seq"], "cover")


def check_witness(checker, line):
    """Check that the journal contains what a witness line names.

    The line is: archiver-witness VERSION ARCHIVE NUMBER SHA-256 TIME.  ARCHIVE is the beginning of the first
    event's SHA-256, and NUMBER that of an event.  SHA-256 is that of the signed head with this event, in version 1
    that of the event.
    """
    words = line.split()
    try:
        version, archive_id, number, digest = words[1], words[2], int(words[3]), words[4]
        if words[0] != "archiver-witness" or archive_id != checker.event_digests[0][:16] or number < 1:
            raise ValueError
        if version == "1":
            present_digest = checker.event_digests[number - 1]
        elif version == "2":
            present_digest = hashlib.sha256(checker.heads[number]).hexdigest()
        else:
            raise ValueError
        if present_digest != digest:
            raise ValueError
    except (ValueError, IndexError, KeyError):
        checker.add_finding("data/journal.jsonl", "witness")


def newest_witness_line(checker):
    """Return the witness line of the newest signed head; without any, that of the newest checkpoint of format 1.

    Return "-" if there is none, or if its event is altered.
    """
    try:
        archive_id = checker.event_digests[0][:16]
        if checker.heads:
            number = max(checker.heads)
            digest = hashlib.sha256(checker.heads[number]).hexdigest()
            time = checker.events[number - 1]["clock"]["time"]
            return "archiver-witness 2 %s %d %s %s" % (archive_id, number, digest, time)
        for event in reversed(checker.events):
            if event["action"] == "checkpoint":
                event_digest = checker.event_digests[event["seq"] - 1]
                return "archiver-witness 1 %s %d %s %s" % (
                    archive_id,
                    event["seq"],
                    event_digest,
                    event["clock"]["time"],
                )
    except (IndexError, KeyError, TypeError):  # The event is altered, which a finding reports.
        return "-"
    return "-"


def check_receipts(checker):
    """Check each receipt in the package against the attachments of the submission's event.

    Check the files about a submission against its event and later ones.
    """
    about = {}
    for event in checker.events:
        for role in roles_of(event):
            about.setdefault(role[0], set()).add(role[1:])
    for entry in read_versions():
        for submission in entry["submitted"]:
            listed = submission.get("about", [])
            rows = [(file["path"], file["digest"], file["role"], file["version"], file["seq"]) for file in listed]
            if set(rows) != about.get(submission["tag"], set()):
                checker.add_finding(readable_tag(submission["tag"]), "about")
            if submission["receipt"] is None:
                continue
            event = checker.events[submission["seq"] - 1]
            attached_digests = {item["sha256"] for item in event["attachments"]}
            receipt_digest = checker.digests.get(submission["receipt"])
            if event["object"] != submission["tag"] or receipt_digest not in attached_digests:
                checker.add_finding(submission["receipt"], "attachment", submission["seq"])


def roles_of(event):
    """Return the files that an event calls a receipt or a notice of a submission.

    Each is a tuple: tag of the submission, path, digest and role of the file, tag of its version, number of the event.
    """
    details = event["details"]
    if event["action"] == "submission-file":
        files, tag = [details], details["submission"]
    elif event["action"] == "submit":
        files, tag = details.get("about") or [], details["tag"]
    else:
        return []
    version = details["version"]
    return [(tag, file["path"], file["digest"], file["role"], version, event["seq"]) for file in files]


# --- 6. disposal


def check_certificate(checker, event, key):
    """Check the signature of a disposal certificate with "key", and keep the versions it names."""
    certificate = read_attachment(event, "certificate.json")
    if not is_signed(certificate, read_attachment(event, "certificate.json.sig"), key):
        checker.add_finding("data/journal/%d/certificate.json.sig" % event["seq"], "certificate")
        return
    checker.signature_count += 1
    document = json.loads(certificate)
    tags = {version["tag"] for version in document["versions"]}
    checker.certified_tags.setdefault(document["certificate"], set()).update(tags)


def check_reasons(checker):
    """Check and count the reasons why materials are not in the package.

    The lists are not signed, so "disposed of" counts only if a signed certificate names the version.  The
    certificate lists the objects that were destroyed, but not content that another version still has, so the
    version decides.  "restricted" counts only if the journal restricts this content at this path of the filing,
    for the same reason.  Whether something else was left out on purpose, nobody can check.
    """
    omitted_count = disposed_count = 0
    reason_by_place = read_restrictions(checker)
    restricted_places = set()
    for entry in read_versions():
        for line in read_lines(entry["list"]):
            row = json.loads(line)
            reason = row.get("why") or ""
            place = (entry["tag"].split("/", 1)[0], row["path"], row["sha256"])
            if reason.startswith("restricted:"):
                if place in reason_by_place and reason == "restricted: %s" % reason_by_place[place]:
                    restricted_places.add(place)
                else:
                    checker.add_finding(entry["list"], "not restricted", row["path"])
            elif not reason.startswith("disposed"):
                omitted_count += bool(reason)
            elif entry["tag"] in checker.certified_tags.get(reason.rsplit(" ", 1)[-1], ()):
                disposed_count += 1
            else:
                checker.add_finding(entry["list"], "unexplained", row["path"])
    for place in sorted(restricted_places):
        # A line feed in the reason could forge a line of the output.
        reason = "".join(char if char.isprintable() else " " for char in reason_by_place[place])
        checker.add_unchecked("restricted", *place, reason)
    if omitted_count:
        checker.add_unchecked("left out", omitted_count)
    if disposed_count:
        checker.add_unchecked("disposed", disposed_count)


def read_restrictions(checker):
    """Return the reason of each restriction in force at the end of the journal: (filing, path, SHA-256) -> reason."""
    reason_by_place = {}
    for event in checker.events:
        if not event["is_read"] or event["action"] not in ("restrict", "unrestrict"):
            continue
        details = event["details"]
        digest = without_algorithm("sha256", details["digest"])
        place = (event["object"].split("/", 1)[0], details["path"], digest)
        if event["action"] == "restrict":
            # A second restriction of the same content at the same path changes nothing.
            reason_by_place.setdefault(place, details["reason"])
        else:
            reason_by_place.pop(place, None)
    return reason_by_place


# --- signatures: OpenSSH's SSHSIG (PROTOCOL.sshsig) over Ed25519 (RFC 8032)


def is_signed(message, armored, signers, namespace=GIT_NAMESPACE):
    """Return True if "armored" is a signature of "message" by a key in "signers", lines of an allowed_signers
    file.

    Return False for bytes that are not a signature, for a signature in another namespace, and for a key that the
    line does not allow in this namespace.
    """
    try:
        public_key, reserved, algorithm, signature = parse_signature(armored, signers, namespace)
        digest = hashlib.new(algorithm.decode("ascii"), message).digest()
        signed_data = b"SSHSIG" + b"".join(
            struct.pack(">I", len(field)) + field for field in (namespace, reserved, algorithm, digest)
        )
        # A key and a signature have two fields: the name of the algorithm, and its bytes.
        return ed25519_verify(split_fields(public_key)[1], signed_data, split_fields(signature)[1])
    except (ValueError, IndexError, struct.error):  # What cannot be read as a signature is not a valid one.
        return False


def names_signer(armored, signers, namespace):
    """Return True if "armored" names a key and a namespace as is_signed requires; nothing else is checked."""
    try:
        return parse_signature(armored, signers, namespace) is not None
    except (ValueError, IndexError, struct.error):  # Damaged armor names no key.
        return False


def parse_signature(armored, signers, namespace):
    """Return key, reserved bytes, hash algorithm and signature of an armored signature.

    Raises ValueError, IndexError or struct.error unless it is one by a key in "signers" in this namespace.
    """
    blob = base64.b64decode(armored.split(SIGNATURE_BEGIN)[1].split(b"-----END")[0])
    # The magic text, and 1 as the version of the format.
    if blob[:10] != b"SSHSIG\0\0\0\1":
        raise ValueError("version")
    public_key, stated_namespace, reserved, algorithm, signature = split_fields(blob[10:])
    if stated_namespace != namespace or algorithm not in (b"sha256", b"sha512"):
        raise ValueError("namespace")
    if public_key not in public_keys(signers, namespace):
        raise ValueError("key")
    return public_key, reserved, algorithm, signature


def split_fields(blob):
    """Return the fields of an SSH structure. Each is a length in four bytes, big-endian, and the content.

    Raises ValueError or struct.error if the structure is cut off.
    """
    fields = []
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        if len(blob) < 4 + length:
            raise ValueError("cut off")
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def public_keys(signers, namespace):
    """Return the Ed25519 keys that an allowed_signers file allows in a namespace, as SSH structures."""
    keys = set()
    for line in signers.split(b"\n"):
        words, namespaces = split_namespaces(line)
        if b"ssh-ed25519" in words[:-1] and (namespaces is None or namespace in namespaces):
            keys.add(base64.b64decode(words[words.index(b"ssh-ed25519") + 1]))
    return keys


def split_namespaces(line):
    """Return the words of a line of an allowed_signers file without its namespaces, and these.

    Without the option, the key may sign in every namespace: None.
    """
    before, option, rest = line.partition(b'namespaces="')
    names, _, after = rest.partition(b'"')
    return (before + after).split(), names.split(b",") if option else None


# The curve of RFC 8032, section 5.1. The names of one letter below are those of the RFC, and a point is a tuple of
# its extended coordinates X, Y, Z and T.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def ed25519_verify(public_key, message, signature):
    """Return True if the signature is valid (RFC 8032, section 5.1.7).  All arguments are bytes."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    a, r = decode_point(public_key), decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    # A larger s would be a second form of the same signature.
    if a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    return are_equal(multiply_point(s, BASE), add_points(r, multiply_point(h, a)))


def decode_point(data):
    """Return the point encoded in 32 bytes; None for invalid bytes (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    x = square_root((y * y - 1) * pow(D * y * y + 1, P - 2, P) % P) if y < P else None
    if x is None or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def square_root(square):
    """Return a square root modulo P; None if there is none."""
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    return None if (x * x - square) % P else x


def add_points(p, q):
    """Return the sum of two points (RFC 8032, section 5.1.4)."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply_point(scalar, point):
    """Return a multiple of a point, by doubling and adding."""
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add_points(result, point)
        point = add_points(point, point)
        scalar >>= 1
    return result


def are_equal(p, q):
    """Return True if two points are the same: X/Z and Y/Z agree."""
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = decode_point(BASE_Y.to_bytes(32, "little"))


# --- all checks


def check(checker, witness):
    """Make all checks in their order.  witness: a witness line, or None."""
    check_files(checker)
    try:
        check_journal(checker)
        list_digests = check_versions(checker)
        check_tags(checker, list_digests, witness)
        check_receipts(checker)
        check_reasons(checker)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        # A file is missing or has another form. check_files has found it already, unless the manifest fits it.
        # RecursionError: JSON that is nested too deep.
        checker.add_finding("data", "unreadable", "%s: %s" % (type(error).__name__, error))
        return
    checker.add_unchecked("bundle")
    if witness is not None:
        check_witness(checker, witness)
    else:
        checker.add_unchecked("no witness")
        checker.unchecked.append(newest_witness_line(checker))


def fill_lfs(checker, target):
    """Copy the contents to the folder "target", under the names that git-lfs uses; print their number.

    Empty materials are skipped, because git-lfs has no object for them.
    """
    copied_count = 0
    for path, sha256 in sorted(checker.digests.items()):
        if not path.startswith("data/materials/") or not os.path.getsize(disk_path(path)):
            continue
        folder = os.path.join(target, sha256[:2], sha256[2:4])
        os.makedirs(folder, exist_ok=True)
        with open(disk_path(path), "rb") as source:
            with open(os.path.join(folder, sha256), "wb") as copy:
                for chunk in iter(lambda: source.read(1 << 20), b""):
                    copy.write(chunk)
        copied_count += 1
    print(checker.translate("filled", copied_count, target))


def select_language(arguments):
    """Return the language of --lang, else that of the environment, else "zh"."""
    if "--lang" in arguments[:-1]:
        return arguments[arguments.index("--lang") + 1]
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(variable):
            return "zh" if os.environ[variable].lower().startswith("zh") else "en"
    return "zh"


def main(arguments):
    """Check the package, print the results, and return the exit code.

    With a finding, --fill-lfs copies nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name may have characters that the terminal cannot show.
            stream.reconfigure(errors="backslashreplace")
    checker = Checker(select_language(arguments))
    witness = arguments[arguments.index("--witness") + 1] if "--witness" in arguments[:-1] else None
    check(checker, witness)
    for where, sentence in checker.findings:
        print("%s: %s" % (where, sentence))
    if checker.findings:
        print(checker.translate("bad", len(checker.findings)))
        return 1
    if "--fill-lfs" in arguments[:-1]:
        fill_lfs(checker, arguments[arguments.index("--fill-lfs") + 1])
    counts = (len(checker.digests), len(checker.events), checker.version_count, checker.signature_count)
    if checker.heads:
        print(checker.translate("good with heads", *counts, len(checker.heads)))
    else:
        print(checker.translate("good", *counts))
    if checker.corrections:
        print(checker.translate("corrections"))
        for sentence in checker.corrections:
            print("  " + sentence)
    if checker.unchecked:
        print(checker.translate("not checked"))
        for sentence in checker.unchecked:
            print("  " + sentence)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
