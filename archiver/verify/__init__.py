"""Checks an archive on its own reading of the files, and shares no code with what writes them.

A *finding* is what is not as it should be, with a number that documentation and alarms can refer to; a *note* is
no fault.  What the journal says that there must be is *expected*, and compared with the objects, refs and
contents that lie there.  A *witness line* is a checkpoint that somebody keeps elsewhere.
"""
