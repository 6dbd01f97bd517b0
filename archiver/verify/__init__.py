"""Checks an archive with an independent reading of the files; shares no code with the writers.

- A *finding* is a fault, with a number that documentation and alarms refer to; a *note* is no fault.
- The *journal state* is what the events read so far demand; the *expected* refs, commits and content are compared
  with those in the repository.
- A *witness* is a checkpoint that somebody keeps outside of the archive, as one line.
- A *token* is the signed reply of a time-stamp authority.
"""
