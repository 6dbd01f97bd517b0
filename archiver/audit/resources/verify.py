#!/usr/bin/env python3
"""Check this inspection package.  校验本检查包。

    python3 -I -S verify.py [--lang zh|en] [--witness LINE]
    python3 -I -S verify.py --fill-lfs CLONE/.git/lfs/objects

One file for Python 3.8 or later.  It needs only Python's standard library, no network,
and no code of the program that wrote the archive.  It writes only to the folder of
--fill-lfs.
--witness: a witness line that was stored elsewhere ("archiver-witness 1 ...").  The
journal of this package must contain the checkpoint of that line.  Without such a line, no
check can distinguish this archive from a forgery signed with another key.

Exit code 0: no findings; 1: findings.

The checks, in this order.  Each of them relies on the previous ones:
 1. files:    every file has the checksums in the manifests, and there is no other file
 2. journal:  the events form one chain of SHA-256, from the first to the last
 3. keys:     a new signing key is appended to the earlier ones, and the old key signs
              it, unless it was lost
 4. versions: the changes in the journal add up to the list of each version, and each
              material in the package has the SHA-256 in that list
 5. tags:     submissions, checkpoints and changes of the key have valid Ed25519
              signatures, and a checkpoint covers all refs of its time
 6. disposal: the certificate of each disposal has a valid signature, and every file that a
              list marks as disposed of belongs to a version that such a certificate names
"""

import base64
import hashlib
import json
import os
import struct
import sys

#: The folder of the package.
HERE = os.path.dirname(os.path.abspath(__file__))
#: "prev" of the first event.
ZERO = "0" * 64
SIGNATURE_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
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
    "display-check",
    "dispose-approve",
    "dispose-begin",
    "dispose-certify",
    "dispose-plan",
    "drill",
    "export",
    "filing-end",
    "filing-set",
    "hold",
    "init",
    "key-backup",
    "key-replace",
    "key-rotate",
    "lift",
    "notice",
    "notice-answer",
    "policy",
    "protect",
    "recover",
    "refuse",
    "reminder",
    "replica-init",
    "repository-settings",
    "restore",
    "signal",
    "submit",
    "tick",
    "timestamp",
    "watch-deaf",
    "watch-lost",
    "watch-path",
}
#: Members that every event must have, and their types.
MEMBERS = (
    ("seq", int),
    ("action", str),
    ("object", str),
    ("details", dict),
    ("refs", dict),
    ("attachments", list),
    ("prev", str),
)

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
    "unknown": (
        "event {0} is of a kind that this verifier does not know: {1}",
        "本校验程序无法识别第 {0} 个事件的类型：{1}",
    ),
    "attachment": ("an attachment does not match event {0}", "附件与第 {0} 个事件所记不符"),
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
    "cover": ("the checkpoint does not cover the refs of its time", "签名点未覆盖当时的全部引用"),
    "key": ("the signing key was replaced without a signature by the old key", "更换签名密钥未经旧密钥签名"),
    "certificate": ("the signature of the certificate of destruction is not valid", "销毁证明的签名无效"),
    "unreadable": ("it cannot be read: {0}", "无法读取：{0}"),
    "no sm3": ("SM3 checksums: this Python does not support SM3", "SM3 哈希值：此 Python 不支持 SM3"),
    "unsigned": ("events from {0} on: no checkpoint covers them yet", "第 {0} 个及以后的事件：尚无签名点覆盖"),
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
    "left out": (
        "files left out of the package on purpose, each with its reason: {0}",
        "有意未附的材料（均载明原因）：{0} 份",
    ),
    "disposed": ("files deleted in disposals, as certified: {0}", "已销毁的材料（均有销毁证明）：{0} 份"),
    "not checked": ("Not checked:", "未校验："),
    "good": (
        "Checked files: {0}, journal events: {1}, versions: {2}, signatures: {3}. No findings.",
        "已校验：文件 {0} 个，档案日志事件 {1} 个，版本 {2} 个，签名 {3} 个。未发现问题。",
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
        # Path of each file in a manifest -> SHA-256 of its content.
        self.digests = {}
        # The events of the journal, oldest first, and the SHA-256 of each.
        self.events = []
        self.event_digests = []
        # Name of each disposal with a signed certificate -> tags of the versions that the certificate names.
        self.certified_tags = {}
        self.version_count = 0
        self.signature_count = 0

    def translate(self, key, *values):
        """Return a text of TEXT with the values."""
        return TEXT[key][self.language_index].format(*values)

    def add_finding(self, where, key, *values):
        """Record that the file or tag "where" is not right, for the reason TEXT[key]."""
        self.findings.append((where, self.translate(key, *values)))

    def add_unchecked(self, key, *values):
        """Record that something was not checked: TEXT[key]."""
        self.unchecked.append(self.translate(key, *values))


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


def check_journal(checker):
    """Read all events, and check for a single chain and the right attachments.

    "prev" of an event is the SHA-256 of the previous line.  An event that cannot be read has no "prev", so the
    chain is not checked there.
    """
    previous_digest = ZERO
    for number, line in enumerate(read_lines("data/journal.jsonl"), 1):
        event = read_event(checker, number, line)
        if event["prev"] not in (previous_digest, None) or event["seq"] != number:
            checker.add_finding("data/journal.jsonl", "chain", number)
        previous_digest = event["sha256"]
        checker.events.append(event)
        checker.event_digests.append(previous_digest)
        if event["prev"] is None:
            continue
        if event["action"] not in ACTIONS:
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


def read_event(checker, number, line):
    """Return the event of a line of the journal, with its SHA-256 as "sha256".

    An event that cannot be read is a finding.  In its place, return one that is about nothing, with "prev" None.
    Its SHA-256 is that of its bytes, so that the next event can be checked.
    """
    try:
        event = json.loads(line)
        if "unreadable" not in event:
            for member, member_type in MEMBERS:
                if not isinstance(event[member], member_type):
                    raise ValueError(member)
            return dict(event, sha256=hashlib.sha256(line + b"\n").hexdigest())
        # The archive itself could not read this event. Its bytes are in a file, and the line states their SHA-256.
        path = "data/journal/%d/event.json" % number
        digest = checker.digests.get(path, "")
        if digest != event["unreadable"]:
            checker.add_finding(path, "attachment", number)
        attachments = [{"name": "event.json", "sha256": digest}]
    except (ValueError, KeyError, TypeError, RecursionError):
        digest, attachments = hashlib.sha256(line + b"\n").hexdigest(), []
    checker.add_finding("data/journal.jsonl", "unread", number)
    return {
        "seq": number,
        "action": "",
        "object": "",
        "details": {},
        "refs": {},
        "attachments": attachments,
        "prev": None,
        "sha256": digest,
    }


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

    Return the digest of each version's list of materials, by the version's tag.
    """
    entries = {entry["tag"]: entry for entry in read_versions()}
    submissions = {submission_of(tag) for tag in entries}
    list_digests, states = {}, {}
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
            list_digests[tag] = digest_of_list(state)
            check_list(checker, entries[tag], state)
            checker.version_count += 1
    for tag in sorted(entries.keys() - list_digests.keys()):
        checker.add_finding(entries[tag]["list"], "list")
    return list_digests


def read_versions():
    """Return the entries of versions.json, one for each version in the package."""
    return json.loads(b"".join(read_lines("data/versions.json")))


def submission_of(tag):
    """Return the submission, FILING/SUBMISSION, of a version's tag, FILING/SUBMISSION/vNUMBER."""
    return tag.rsplit("/", 1)[0]


def apply_changes(state, lines):
    """Apply the lines of a changes.jsonl to "state": path -> (SHA-256, size); the SHA-256 of a folder is None.

    All removals come first, because a path may be removed by one change and added again by another.
    """
    changes = [json.loads(line) for line in lines]
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


# --- 3. keys, 5. tags


def check_tags(checker, list_digests):
    """Go through the journal with the refs and the signing key of each time, and check all signatures.

    list_digests: the tag of a version -> the digest of its list, as check_versions returns them.
    """
    # Full name of a ref -> object, as of the events so far.
    refs = {}
    # The file allowed_signers only grows: each new key is appended. signers is the whole file, and key is the part
    # that the last event appended: the lines with the key in force.
    signers, key = b"", b""
    for event in checker.events:
        action = event["action"]
        if action == "checkpoint":
            check_checkpoint(checker, event, dict(refs, **{"refs/heads/journal": journal_commit(event)}), key)
        if action == "key-rotate":
            check_tag(checker, event, event["object"], key)
        if action in ("init", "key-rotate", "key-replace"):
            new_signers = read_attachment(event, "allowed_signers")
            if not new_signers.startswith(signers):
                checker.add_finding("data/journal/%d/allowed_signers" % event["seq"], "key")
            signers, key = new_signers, new_signers[len(signers) :]
        if action == "key-replace":
            checker.add_unchecked("lost key", event["seq"])
        if action == "submit":
            check_tag(checker, event, event["details"]["tag"], key)
            list_digest = list_digests.get(event["details"]["version"])
            # None: the version is not in this package.
            if list_digest is not None and list_digest != event["details"]["manifest_sha256"]:
                checker.add_finding(event["details"]["tag"], "seal")
        if action == "dispose-certify":
            check_certificate(checker, event, key)
        refs.update(event["refs"])
    last_checkpoint = max([event["seq"] for event in checker.events if event["action"] == "checkpoint"], default=0)
    if last_checkpoint < len(checker.events):
        checker.add_unchecked("unsigned", last_checkpoint + 1)
    token_count = sum(event["action"] == "timestamp" for event in checker.events)
    if token_count:
        checker.add_unchecked("tokens", token_count)


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
    """Check that the journal contains the checkpoint of a witness line.

    The line is: archiver-witness 1 ARCHIVE NUMBER SHA-256 TIME.  ARCHIVE is the beginning of the first event's
    SHA-256, NUMBER and SHA-256 are those of the checkpoint.
    """
    words = line.split()
    try:
        archive_id, seq, digest = words[2], int(words[3]), words[4]
        is_this_archive = words[:2] == ["archiver-witness", "1"] and archive_id == checker.event_digests[0][:16]
        if not is_this_archive or seq < 1 or checker.event_digests[seq - 1] != digest:
            raise ValueError
    except (ValueError, IndexError):
        checker.add_finding("data/journal.jsonl", "witness")


def newest_witness_line(checker):
    """Return the witness line of the newest checkpoint; "-" if there is none, or if its event is altered."""
    for event in reversed(checker.events):
        if event["action"] == "checkpoint":
            try:
                event_digest = checker.event_digests[event["seq"] - 1]
                line_parts = (checker.event_digests[0][:16], event["seq"], event_digest, event["clock"]["time"])
                return "archiver-witness 1 %s %d %s %s" % line_parts
            except (IndexError, KeyError, TypeError):
                return "-"
    return "-"


def check_receipts(checker):
    """Check each receipt in the package against the attachments of the submission's event."""
    for entry in read_versions():
        for submission in entry["submitted"]:
            if submission["receipt"] is None:
                continue
            event = checker.events[submission["seq"] - 1]
            attached_digests = {item["sha256"] for item in event["attachments"]}
            receipt_digest = checker.digests.get(submission["receipt"])
            if event["object"] != submission["tag"] or receipt_digest not in attached_digests:
                checker.add_finding(submission["receipt"], "attachment", submission["seq"])


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
    version decides.  Whether something was left out on purpose, nobody can check.
    """
    omitted_count = disposed_count = 0
    for entry in read_versions():
        for line in read_lines(entry["list"]):
            row = json.loads(line)
            reason = row.get("why") or ""
            if not reason.startswith("disposed"):
                omitted_count += bool(reason)
            elif entry["tag"] in checker.certified_tags.get(reason.rsplit(" ", 1)[-1], ()):
                disposed_count += 1
            else:
                checker.add_finding(entry["list"], "unexplained", row["path"])
    if omitted_count:
        checker.add_unchecked("left out", omitted_count)
    if disposed_count:
        checker.add_unchecked("disposed", disposed_count)


# --- signatures: OpenSSH's SSHSIG (PROTOCOL.sshsig) over Ed25519 (RFC 8032)


def is_signed(message, armored, signers):
    """Return True if "armored" is a signature of "message" by a key in "signers", lines of an allowed_signers
    file.

    Return False for bytes that are not a signature, and for another namespace than "git".
    """
    try:
        armored_body = armored.split(SIGNATURE_BEGIN)[1].split(b"-----END")[0]
        blob = base64.b64decode(armored_body)
        # The magic text, and 1 as the version of the format.
        if blob[:10] != b"SSHSIG\0\0\0\1":
            return False
        public_key, namespace, reserved, algorithm, signature = split_fields(blob[10:])
        if (
            namespace != b"git"
            or algorithm not in (b"sha256", b"sha512")
            or public_key not in public_keys(signers)
        ):
            return False
        digest = hashlib.new(algorithm.decode("ascii"), message).digest()
        signed_data = b"SSHSIG" + b"".join(
            struct.pack(">I", len(field)) + field for field in (namespace, reserved, algorithm, digest)
        )
        # A key and a signature have two fields: the name of the algorithm, and its bytes.
        return ed25519_verify(split_fields(public_key)[1], signed_data, split_fields(signature)[1])
    except (ValueError, IndexError, struct.error):  # What cannot be read as a signature is not a valid one.
        return False


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


def public_keys(signers):
    """Return the Ed25519 keys in lines of an allowed_signers file, as SSH structures."""
    keys = set()
    for line in signers.split(b"\n"):
        words = line.split()
        if b"ssh-ed25519" in words[:-1]:
            keys.add(base64.b64decode(words[words.index(b"ssh-ed25519") + 1]))
    return keys


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
        check_tags(checker, list_digests)
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
    print(
        checker.translate(
            "good", len(checker.digests), len(checker.events), checker.version_count, checker.signature_count
        )
    )
    if checker.unchecked:
        print(checker.translate("not checked"))
        for sentence in checker.unchecked:
            print("  " + sentence)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
