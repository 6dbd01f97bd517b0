"""Keeps everything: the bytes of materials, a git repository that names them, and the journal of what happened.

The *archive* is opened once and holds the rest.  The *writer* appends one *event* to the *journal*, which is what
proves; *drafts* are events that are not written yet.  Databases are derived from the journal and may be lost.
Everything is written under one *lock*, durably (``fsync``), and in an order in which a crash loses nothing that
was acknowledged (``failpoints`` names each step).
"""
