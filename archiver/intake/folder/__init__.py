"""The watched folder itself: reaching it, knowing that it is the right one, and hearing of changes.

*Access* reads it without following links, through processes of its own where a network mount may hang.  A
*watcher* turns inotify events into hints; the *canary* is an event of our own, which shows whether events arrive.
"""
