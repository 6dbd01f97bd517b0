"""Define the tables of ``index.db``.

A row of the table ``materials`` holds for an interval of versions. The interval begins with version ``first`` and
ends before version ``until``, which is null while the newest version has the material.

Times are RFC 3339 in UTC. Columns named ``clock`` have the compliance clock of an event, columns named ``at`` its
wall clock, and columns named ``seq`` its number in the journal.
"""

from __future__ import annotations

from archiver.store.events.event_kinds import Action

#: An index with another number is rebuilt. Increase it with every change of the tables or of their meaning.
SCHEMA_VERSION = 15
#: Statements separated by semicolons, none of which contains a semicolon.
SCHEMA = """
create table meta (key text primary key, value text not null) without rowid;
create table submissions (
    id integer primary key, filing text not null, name text not null,
    filing_folder blob not null, folder blob not null, unique (filing, name));
create table versions (
    id integer primary key, submission integer not null, number integer not null,
    tag text not null unique, "commit" text not null, seq integer not null,
    captured_at text not null, clock text not null, files integer not null,
    bytes integer not null, added integer not null, modified integer not null,
    deleted integer not null, stored integer not null, unique (submission, number));
create table submitted (
    tag text primary key, version integer not null, "on" text not null, kind text not null,
    number text, "by" text, receipt text, at text not null, clock text not null, seq integer not null)
    without rowid;
create index submitted_version on submitted (version);
create table unread (seq integer primary key, "commit" text not null, action text not null);
create table ended (seq integer primary key, filing text not null, clock text not null);
create index ended_filing on ended (filing);
create table tokens (seq integer primary key, time text not null, covered_seq integer not null);
create table disposals (
    id text primary key, seq integer not null, "commit" text not null, at text not null, uid integer not null,
    user text not null, plan_sha256 text not null, cooling_off_days integer not null,
    filing text, act text, begun text, certified text, certified_commit text) without rowid;
create table approvals (
    disposal text not null, uid integer not null, user text not null, reason text not null,
    at text not null, clock text not null, seq integer not null);
create table disposed (version text primary key, disposal text not null) without rowid;
create table promises (
    kind text not null, name text not null, years integer not null, seq integer not null, at text not null,
    user text not null, primary key (kind, name)) without rowid;
create table holds (
    name text not null, object text not null, reason text not null, "by" text, user text not null,
    placed text not null, lifted text, lift_reason text);
create unique index holds_now on holds (name, object) where lifted is null;
create index holds_object on holds (object);
create table restrictions (
    seq integer primary key, filing text not null, path blob not null, sha256 text not null, reason text not null,
    "by" text, user text not null, at text not null, lifted text, lift_reason text);
create unique index restrictions_now on restrictions (filing, path, sha256) where lifted is null;
create table exports (
    seq integer primary key, at text not null, target text not null, recipient text, filings text not null);
create table life (
    seq integer primary key, at text not null, user text not null, action text not null,
    filing text not null, details text not null);
create index life_filing on life (filing, action, seq);
create table corrections (
    seq integer primary key, at text not null, user text not null, filing text not null,
    corrects integer not null, fields text not null, void integer not null, reason text not null, "by" text);
create index corrections_corrects on corrections (corrects);
create table materials (
    submission integer not null, path blob not null, sha256 text, size integer not null,
    mtime_ns integer not null, first integer not null, until integer, health text not null);
create table chains (
    chain text primary key, filing text unique, count integer not null, digest text not null) without rowid;
create table clock_marks (
    seq integer primary key, behind_previous_event integer not null, behind_compliance_clock integer not null);
create table losses (seq integer primary key, clock text not null, lost integer not null);
create table folders (name blob primary key) without rowid;
create unique index materials_now on materials (submission, path) where until is null;
create index materials_content on materials (sha256);
create index materials_doubtful on materials (submission) where until is null and health <> '';
create index materials_all on materials (submission, path, first);
"""
#: Select action, object and time of each hold, filing event, disposal plan, correction and restriction. A database
#: that was set aside is compared by these rows with the index, to find records that the journal lacks. There is a
#: query for each table, because a database of an earlier release lacks some of the tables.
COMPARABLE_RECORDS_QUERIES = (
    f"select '{Action.HOLD}', name || ' ' || object, placed from holds",
    "select action, filing, at from life",
    f"select '{Action.DISPOSE_PLAN}', id, at from disposals",
    f"select '{Action.CORRECT}', filing, at from corrections",
    f"select '{Action.RESTRICT}', filing, at from restrictions",
)


class IndexDamaged(Exception):
    """The file is not a usable index of this release.  It can be rebuilt from the journal."""


class IndexUnfinished(IndexDamaged):
    """Another process has just created the file, and has not created the tables yet."""
