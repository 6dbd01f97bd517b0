"""From the watched folder into the store: scan, settle, stage, capture.

A *hint* is a path that an event named.  A *group* is all paths of one submission.  They are captured together once
they have *settled*, which means that nothing has happened to them for the quiet period.  The *snapshot* is the
state of the folder when it was last archived.  A path that differs from the snapshot is *pending*.
"""
