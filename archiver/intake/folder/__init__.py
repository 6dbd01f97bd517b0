"""The watched folder itself: how to reach and identify the folder, and how to notice changes.

*Access* reads the folder without following links, by child processes if a remote mount may hang.  A *watcher*
turns inotify events into hints.  The *probe schedule* decides when the program makes an event, a *probe event*,
which shows whether events arrive.
"""
