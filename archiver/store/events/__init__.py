"""The journal's vocabulary: the kinds of events, their members, and the checks of both. Pure.

An *action* is the kind of an event. The *details* are the members that only one kind of event has. Each kind has
one class that names the members, states their meaning, and converts them *to details*, the form in ``event.json``,
and *from details*. The program relies on a *checked* member: without it, an event is unreadable, and a stand-in
keeps its place in the chain. A *noted* member is accepted with any value, and may be absent. The *envelope*
consists of the members that all events have. ``python -m tests.support.journal_page`` makes ``docs/journal.md``
from these classes.
"""
