#!/usr/bin/env python3
"""Checks this inspection package.  核对本检查包。

    python3 -I -S verify.py [--lang zh|en] [--witness LINE]
    python3 -I -S verify.py --fill-lfs CLONE/.git/lfs/objects

One file, the standard library of Python 3.8 or later, no network, nothing of the
archive's own program.  It reads, and writes nothing but what --fill-lfs names.
--witness: a line that was kept elsewhere ("archiver-witness 1 ..."); this package
has to go on from it.  Without one, nothing here tells this archive from a forgery
that was signed with a key of its own.

Exit code 0: everything that could be checked is right; 1: something is not.

What it does, in this order; each step rests on the ones before:
 1. files:    every file is the one in the manifest, and there is no other
 2. journal:  the events form one chain of SHA-256, from the first to the last
 3. keys:     which signing key was in force at which event
 4. versions: the changes that the journal lists add up to each version's list,
              and each material in the package has the SHA-256 of that list
 5. tags:     sealed versions, checkpoints and changes of the key carry good
              Ed25519 signatures, and a checkpoint covers all refs of its time
 6. disposal: what is missing is named by a signed certificate
"""

import base64
import hashlib
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ZERO = "0" * 64
MANIFESTS = ("sha256", "sm3")
TAG_MANIFESTS = ("tagmanifest-sha256.txt", "tagmanifest-sm3.txt")
#: What an event can be about; a package may hold events of a newer release.
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
#: What every event has.
MEMBERS = (
    ("seq", int),
    ("action", str),
    ("object", str),
    ("details", dict),
    ("refs", dict),
    ("attachments", list),
    ("prev", str),
)

TEXT = {
    "missing": ("the file is missing", "文件缺失"),
    "altered": ("the file was altered", "文件被改动"),
    "extra": ("the file is in no manifest", "清单中没有这个文件"),
    "manifest": ("a line of the manifest cannot be read", "清单中有无法读取的一行"),
    "chain": ("the chain of the journal is broken at event {0}", "日志链在第 {0} 个事件处断开"),
    "unread": (
        "event {0} cannot be read; everything else was checked",
        "第 {0} 个事件无法读取；其余内容均已核对",
    ),
    "unknown": (
        "event {0} is of a kind that this verifier does not know: {1}",
        "第 {0} 个事件的类型是本校验程序所不知道的：{1}",
    ),
    "attachment": ("an attachment of event {0} is not what the event says", "第 {0} 个事件的附件与事件所述不符"),
    "list": ("the list is not what the journal's changes add up to", "该清单与日志记载的变更累计结果不符"),
    "material": ("a material is not the one of its version's list: {0}", "材料与其版本清单不符：{0}"),
    "absent": ("a material is not in the package and nothing says why: {0}", "材料不在包中且未说明原因：{0}"),
    "witness": ("this archive does not go on from the witness line", "本档案库并非该见证行的延续"),
    "no witness": (
        "whose archive this is: compare the newest line with one that was kept elsewhere, with --witness:",
        "这是谁的档案库：请用 --witness 与保存在别处的见证行比对。最新一行为：",
    ),
    "tag": ("the tag is not the one that the journal names", "该标签不是日志所指的标签"),
    "signature": ("the signature is not valid", "签名无效"),
    "seal": ("the sealed manifest is another one", "封存的清单与此不同"),
    "cover": ("the checkpoint does not cover the refs of its time", "封存点未涵盖当时的全部引用"),
    "key": ("the signing key was changed without the old one", "签名密钥未经旧密钥签署而被更换"),
    "certificate": ("the certificate's signature is not valid", "销毁证书的签名无效"),
    "unreadable": ("it cannot be read: {0}", "无法读取：{0}"),
    "no sm3": ("SM3 digests: this Python has no SM3", "SM3 摘要：此 Python 不支持 SM3"),
    "unsigned": ("events from {0} on: no checkpoint covers them yet", "第 {0} 个及以后的事件：尚无封存点涵盖"),
    "tokens": (
        "{0} time-stamp tokens: check them with openssl ts -verify (README.txt)",
        "{0} 个时间戳令牌：请用 openssl ts -verify 核对（见 README.txt）",
    ),
    "bundle": (
        "the git bundle: check it with git bundle verify (README.txt)",
        "git 包：请用 git bundle verify 核对（见 README.txt）",
    ),
    "lost key": (
        "the key was replaced as lost at event {0}: ask whether somebody owns up",
        "第 {0} 个事件处密钥以遗失为由更换：请确认有人负责",
    ),
    "left out": (
        "{0} materials were left out of the package on purpose, each with its reason",
        "{0} 份材料被有意略去，各有原因",
    ),
    "disposed": ("{0} materials were disposed of under certificate", "{0} 份材料已按证书销毁"),
    "not checked": ("Not checked:", "未核对："),
    "good": (
        "Checked {0} files, {1} events, {2} versions, {3} signatures. Everything is as it should be.",
        "已核对 {0} 个文件、{1} 个事件、{2} 个版本、{3} 个签名。一切无误。",
    ),
    "bad": ("{0} things are not as they should be.", "有 {0} 处不符。"),
    "filled": ("{0} content objects were copied to {1}", "已将 {0} 个内容对象复制到 {1}"),
}


class Checker:
    """Collects what is wrong; never stops at the first."""

    def __init__(self, lang):
        self.column = 1 if lang == "zh" else 0
        self.wrong = []
        self.unchecked = []
        self.digests = {}
        self.events = []
        self.chain = []
        self.versions = 0
        self.signatures = 0

    def say(self, key, *values):
        return TEXT[key][self.column].format(*values)

    def add(self, where, key, *values):
        self.wrong.append((where, self.say(key, *values)))

    def skip(self, key, *values):
        self.unchecked.append(self.say(key, *values))


# --- 1. files


def check_files(checker):
    listed = {}
    for name in sorted(os.listdir(HERE)):
        for kind in ("tagmanifest-", "manifest-"):
            algorithm = name[len(kind) : -4]
            if name.startswith(kind) and name.endswith(".txt") and algorithm in MANIFESTS:
                read_manifest(checker, name, algorithm, listed)
    if "manifest-sha256.txt" not in {os.path.basename(name) for name in os.listdir(HERE)}:
        checker.add("manifest-sha256.txt", "missing")
    for name in sorted(listed):
        compare(checker, name, listed[name])
    for folder, folders, files in os.walk(HERE):
        folders.sort()
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), HERE).replace(os.sep, "/")
            if path not in listed and path not in TAG_MANIFESTS:
                checker.add(path, "extra")


def read_manifest(checker, name, algorithm, listed):
    try:
        hashlib.new(algorithm)
    except ValueError:
        checker.skip("no sm3")
        return
    with open(os.path.join(HERE, name), "rb") as stream:
        for line in stream.read().split(b"\n")[:-1]:
            digest, gap, path = line.partition(b"  ")
            try:
                path = path.decode("utf-8")
            except UnicodeDecodeError:
                gap = b""
            if not gap or ".." in path.split("/") or path.startswith("/"):
                checker.add(name, "manifest")
                continue
            listed.setdefault(path, {})[algorithm] = digest.decode("ascii", "replace")


def compare(checker, name, wanted):
    digests = {algorithm: hashlib.new(algorithm) for algorithm in sorted({*wanted, "sha256"})}
    try:
        with open(os.path.join(HERE, *name.split("/")), "rb") as stream:
            while True:
                chunk = stream.read(1 << 20)
                if not chunk:
                    break
                for digest in digests.values():
                    digest.update(chunk)
    except FileNotFoundError:
        checker.add(name, "missing")
        return
    except OSError as error:
        checker.add(name, "unreadable", error.strerror)
        return
    checker.digests[name] = digests["sha256"].hexdigest()
    if any(digests[algorithm].hexdigest() != digest for algorithm, digest in wanted.items()):
        checker.add(name, "altered")


# --- 2. journal, 3. keys


def check_journal(checker):
    prev = ZERO
    for number, line in enumerate(lines("data/journal.jsonl"), 1):
        event = read_event(checker, number, line)
        if event["prev"] not in (prev, None) or event["seq"] != number:
            checker.add("data/journal.jsonl", "chain", number)
        prev = event["sha256"]
        checker.events.append(event)
        checker.chain.append(prev)
        if event["prev"] is None:
            continue
        if event["action"] not in ACTIONS:
            checker.add("data/journal.jsonl", "unknown", number, event["action"])
        for item in event["attachments"]:
            path = "data/journal/%d/%s" % (event["seq"], item["name"])
            if path in checker.digests and checker.digests[path] != item["sha256"]:
                checker.add(path, "attachment", event["seq"])
    for name in sorted(checker.digests):
        parts = name.split("/")
        if (
            parts[:2] == ["data", "journal"]
            and len(parts) == 4
            and not known_attachment(checker, parts[2], parts[3])
        ):
            checker.add(name, "attachment", parts[2])


def read_event(checker, number, line):
    """An event with its SHA-256; one that cannot be read is a finding, and keeps its place in the chain."""
    try:
        event = json.loads(line)
        if "unreadable" not in event:
            # What is asked of every event, whoever wrote it.
            for member, kind in MEMBERS:
                if not isinstance(event[member], kind):
                    raise ValueError(member)
            return dict(event, sha256=hashlib.sha256(line + b"\n").hexdigest())
        path = "data/journal/%d/event.json" % number
        digest = checker.digests.get(path, "")
        if digest != event["unreadable"]:
            checker.add(path, "attachment", number)
        held = [{"name": "event.json", "sha256": digest}]
    except (ValueError, KeyError, TypeError, RecursionError):
        digest, held = hashlib.sha256(line + b"\n").hexdigest(), []
    checker.add("data/journal.jsonl", "unread", number)
    return {
        "seq": number,
        "action": "",
        "object": "",
        "details": {},
        "refs": {},
        "attachments": held,
        "prev": None,
        "sha256": digest,
    }


def known_attachment(checker, seq, name):
    if not seq.isdigit() or not 0 < int(seq) <= len(checker.events):
        return False
    return any(item["name"] == name for item in checker.events[int(seq) - 1]["attachments"])


def lines(name):
    with open(os.path.join(HERE, *name.split("/")), "rb") as stream:
        return stream.read().split(b"\n")[:-1]


def attachment(event, name):
    with open(os.path.join(HERE, "data", "journal", str(event["seq"]), name), "rb") as stream:
        return stream.read()


# --- 4. versions


def check_versions(checker):
    """Replay the changes of each submission; compare its versions in the package."""
    index = json.loads(b"".join(lines("data/versions.json")))
    wanted = {entry["tag"]: entry for entry in index}
    manifests, states = {}, {}
    for event in checker.events:
        if event["action"] != "capture" or not any(
            item["name"] == "changes.jsonl" for item in event["attachments"]
        ):
            continue
        submission = event["object"].rsplit("/", 1)[0]
        if not any(tag.rsplit("/", 1)[0] == submission for tag in wanted):
            continue
        state = states.setdefault(submission, {})
        apply(state, attachment(event, "changes.jsonl").split(b"\n")[:-1])
        if event["object"] in wanted:
            manifests[event["object"]] = manifest_digest(state)
            compare_list(checker, wanted[event["object"]], state)
            checker.versions += 1
    for tag in sorted(wanted.keys() - manifests.keys()):
        checker.add(wanted[tag]["list"], "list")
    return manifests


def apply(state, changes):
    parsed = [json.loads(line) for line in changes]
    for line in parsed:
        if line["op"] in ("delete", "rmdir"):
            state.pop(line["path"], None)
        elif line.get("from") is not None:
            state.pop(line["from"], None)
    for line in parsed:
        if line["op"] not in ("delete", "rmdir"):
            state[line["path"]] = (line.get("sha256"), line.get("size", 0))


def compare_list(checker, entry, state):
    rows = [json.loads(line) for line in lines(entry["list"])]
    held = {
        row["path"].rstrip("/") if row["sha256"] is None else row["path"]: (row["sha256"], row["size"])
        for row in rows
    }
    if held != {path: (sha256, size) for path, (sha256, size) in state.items()}:
        checker.add(entry["list"], "list")
    for row in rows:
        if row["sha256"] is None:
            continue
        if row["file"] is not None:
            if checker.digests.get(row["file"]) != row["sha256"]:
                checker.add(entry["list"], "material", row["path"])
        elif not row.get("why"):
            checker.add(entry["list"], "absent", row["path"])


def manifest_digest(state):
    """The seal of a handing-in: one canonical line per material, by the bytes of its path."""
    digest = hashlib.sha256()
    for path in sorted(state, key=raw):
        sha256, size = state[path]
        line = {"path": path, "sha256": sha256, "size": size}
        digest.update(
            json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8") + b"\n"
        )
    return digest.hexdigest()


def raw(shown):
    """A path's bytes: %XX stands for a byte that is not UTF-8, for controls and for a percent sign before two digits."""
    out, data, place = bytearray(), shown.encode("utf-8"), 0
    digits = b"0123456789abcdefABCDEF"
    while place < len(data):
        pair = data[place + 1 : place + 3]
        if data[place] == 0x25 and len(pair) == 2 and pair[0] in digits and pair[1] in digits:
            out.append(int(pair, 16))
            place += 3
        else:
            out.append(data[place])
            place += 1
    return bytes(out)


# --- 5. tags


def check_tags(checker, manifests):
    refs, key, signers = {}, b"", b""
    for event in checker.events:
        action = event["action"]
        if action == "checkpoint":
            check_checkpoint(checker, event, dict(refs, **{"refs/heads/journal": journal_commit(event)}), key)
        if action == "key-rotate":
            check_signed(checker, event, event["object"], key)
        if action in ("init", "key-rotate", "key-replace"):
            new = attachment(event, "allowed_signers")
            if not new.startswith(signers):
                checker.add("data/journal/%d/allowed_signers" % event["seq"], "key")
            signers, key = new, new[len(signers) :]
        if action == "key-replace":
            checker.skip("lost key", event["seq"])
        if action == "submit":
            check_signed(checker, event, event["details"]["tag"], key)
            sealed = manifests.get(event["details"]["version"])
            if sealed is not None and sealed != event["details"]["manifest_sha256"]:
                checker.add(event["details"]["tag"], "seal")
        if action == "dispose-certify":
            check_certificate(checker, event, key)
        refs.update(event["refs"])
    signed = max([event["seq"] for event in checker.events if event["action"] == "checkpoint"], default=0)
    if signed < len(checker.events):
        checker.skip("unsigned", signed + 1)
    stamped = sum(event["action"] == "timestamp" for event in checker.events)
    if stamped:
        checker.skip("tokens", stamped)


def journal_commit(event):
    """The commit of the event before a checkpoint: what its tag points to."""
    body = tag_body(event)
    return body[7:47].decode("ascii", "replace") if body is not None else ""


def tag_body(event):
    try:
        with open(os.path.join(HERE, "data", "tags", str(event["seq"])), "rb") as stream:
            return stream.read()
    except OSError:  # The caller reports the tag as missing.
        return None


def check_signed(checker, event, name, key):
    where = "data/tags/%d" % event["seq"]
    body = tag_body(event)
    if body is None:
        checker.add(where, "missing")
        return False
    oid = hashlib.sha1(b"tag %d\0" % len(body) + body).hexdigest()
    if oid != event["refs"].get("refs/tags/" + name) or ("\ntag %s\n" % name).encode("utf-8") not in body:
        checker.add(where, "tag")
    begin = body.find(b"-----BEGIN SSH SIGNATURE-----")
    if begin < 0 or not is_signed(body[:begin], body[begin:], key):
        checker.add(where, "signature")
        return False
    checker.signatures += 1
    return True


def check_checkpoint(checker, event, refs, key):
    check_signed(checker, event, event["object"], key)
    ordered = sorted(refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    text = "".join("%s %s\n" % (refs[ref], ref) for ref in ordered).encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(text).hexdigest()
    body = tag_body(event) or b""
    if digest != event["details"]["refs_sha256"] or ("refs-sha256 %s\n" % digest).encode() not in body:
        checker.add("data/tags/%d" % event["seq"], "cover")
    if ("\nevent-sha256 %s\n" % event["prev"]).encode() not in body:
        checker.add("data/tags/%d" % event["seq"], "cover")


def check_witness(checker, line):
    words = line.split()
    try:
        archive, seq, digest = words[2], int(words[3]), words[4]
        known = words[:2] == ["archiver-witness", "1"] and archive == checker.chain[0][:16]
        if not known or seq < 1 or checker.chain[seq - 1] != digest:
            raise ValueError
    except (ValueError, IndexError):
        checker.add("data/journal.jsonl", "witness")


def newest_line(checker):
    for event in reversed(checker.events):
        if event["action"] == "checkpoint":
            digest = checker.chain[event["seq"] - 1]
            return "archiver-witness 1 %s %d %s %s" % (
                checker.chain[0][:16],
                event["seq"],
                digest,
                event["clock"]["time"],
            )
    return "-"


def check_receipts(checker):
    for entry in json.loads(b"".join(lines("data/versions.json"))):
        for sealed in entry["submitted"]:
            if sealed["receipt"] is None:
                continue
            event = checker.events[sealed["seq"] - 1]
            known = {item["sha256"] for item in event["attachments"]}
            if event["object"] != sealed["tag"] or checker.digests.get(sealed["receipt"]) not in known:
                checker.add(sealed["receipt"], "attachment", sealed["seq"])


# --- 6. disposal


def check_certificate(checker, event, key):
    if is_signed(attachment(event, "certificate.json"), attachment(event, "certificate.json.sig"), key):
        checker.signatures += 1
    else:
        checker.add("data/journal/%d/certificate.json.sig" % event["seq"], "certificate")


# --- signatures: OpenSSH's SSHSIG (PROTOCOL.sshsig) over Ed25519 (RFC 8032)


def is_signed(message, armored, signers):
    try:
        body = armored.split(b"-----BEGIN SSH SIGNATURE-----")[1].split(b"-----END")[0]
        blob = base64.b64decode(body)
        if blob[:10] != b"SSHSIG\0\0\0\1":
            return False
        public, namespace, reserved, algorithm, signature = fields(blob[10:])
        if namespace != b"git" or algorithm not in (b"sha256", b"sha512") or public not in keys_of(signers):
            return False
        digest = hashlib.new(algorithm.decode("ascii"), message).digest()
        signed = b"SSHSIG" + b"".join(
            struct.pack(">I", len(part)) + part for part in (namespace, reserved, algorithm, digest)
        )
        return ed25519_verify(fields(public)[1], signed, fields(signature)[1])
    except (ValueError, IndexError, struct.error):  # What cannot be read as a signature is not a valid one.
        return False


def fields(blob):
    found = []
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        if len(blob) < 4 + length:
            raise ValueError("cut off")
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return found


def keys_of(signers):
    found = set()
    for line in signers.split(b"\n"):
        words = line.split()
        if b"ssh-ed25519" in words[:-1]:
            found.add(base64.b64decode(words[words.index(b"ssh-ed25519") + 1]))
    return found


P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def ed25519_verify(public, message, signature):
    """RFC 8032, section 5.1.7."""
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return equal(multiply(s, BASE), add(r, multiply(h, a)))


def decompress(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    x = root_of((y * y - 1) * pow(D * y * y + 1, P - 2, P) % P) if y < P else None
    if x is None or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def root_of(square):
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    return None if (x * x - square) % P else x


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = decompress(BASE_Y.to_bytes(32, "little"))


# --- the way through


def check(checker, witness):
    check_files(checker)
    try:
        check_journal(checker)
        manifests = check_versions(checker)
        check_tags(checker, manifests)
        check_receipts(checker)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        checker.add("data", "unreadable", "%s: %s" % (type(error).__name__, error))
        return
    left_out = disposed = 0
    for entry in json.loads(b"".join(lines("data/versions.json"))):
        for line in lines(entry["list"]):
            why = json.loads(line).get("why") or ""
            disposed += why.startswith("disposed")
            left_out += bool(why) and not why.startswith("disposed")
    if left_out:
        checker.skip("left out", left_out)
    if disposed:
        checker.skip("disposed", disposed)
    checker.skip("bundle")
    if witness is not None:
        check_witness(checker, witness)
    else:
        checker.skip("no witness")
        checker.unchecked.append(newest_line(checker))


def fill_lfs(checker, target):
    """Copy contents to where the stock git-lfs client looks for them."""
    copied = 0
    for name, sha256 in sorted(checker.digests.items()):
        if not name.startswith("data/materials/") or not os.path.getsize(os.path.join(HERE, *name.split("/"))):
            continue
        folder = os.path.join(target, sha256[:2], sha256[2:4])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(HERE, *name.split("/")), "rb") as source:
            with open(os.path.join(folder, sha256), "wb") as copy:
                for chunk in iter(lambda: source.read(1 << 20), b""):
                    copy.write(chunk)
        copied += 1
    print(checker.say("filled", copied, target))


def language(arguments):
    if "--lang" in arguments[:-1]:
        return arguments[arguments.index("--lang") + 1]
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(variable):
            return "zh" if os.environ[variable].lower().startswith("zh") else "en"
    return "zh"


def main(arguments):
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    checker = Checker(language(arguments))
    witness = arguments[arguments.index("--witness") + 1] if "--witness" in arguments[:-1] else None
    check(checker, witness)
    for where, what in checker.wrong:
        print("%s: %s" % (where, what))
    if checker.wrong:
        print(checker.say("bad", len(checker.wrong)))
        return 1
    if "--fill-lfs" in arguments[:-1]:
        fill_lfs(checker, arguments[arguments.index("--fill-lfs") + 1])
    print(checker.say("good", len(checker.digests), len(checker.events), checker.versions, checker.signatures))
    if checker.unchecked:
        print(checker.say("not checked"))
        for line in checker.unchecked:
            print("  " + line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
