"""From the watched folder into the store: scan, settle, stage, capture.

A *hint* is a path that an event named.  A *group* is the submission that a path belongs to, and is captured as a
whole once it has *settled*: nothing has happened to it for the quiet period.  The *snapshot* is what the folder
looked like when it was last archived; a difference to it is *pending*.
"""
