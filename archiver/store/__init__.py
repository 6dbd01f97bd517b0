"""Keeps everything: the materials' bytes, a git repository naming the materials, and the journal of all events.

The *archive* is opened once and owns the other parts.  The *writer* appends one *event* to the *journal*, which is
the proof; a *draft* is an event that is not written yet.  Databases are derived from the journal and may be lost.
Everything is written under one *lock*, durably (``fsync``), and in an order in which a crash loses nothing that
was acknowledged (``failpoints`` names each step).
"""
