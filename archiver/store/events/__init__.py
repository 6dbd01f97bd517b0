"""The journal's vocabulary: the kinds of events, their members, and the checks of both.  Pure.

An *action* is the kind of an event.  Its *details* are the members that only this kind has; each kind has one
class, which names them, says what they mean, and converts them *to details* (what ``event.json`` holds) and
*from details*.  A *checked* member is relied on: an event without it is unreadable, and a stand-in keeps its
place.  A *noted* member is taken as it comes, and may be absent.  The *envelope* is what all events have
in common.  ``docs/journal.md`` is made from these classes by ``python -m tests.support.journal_page``.
"""
