"""Parts of the watch on the folder: which folders are not watched, and why.

A *watch* is a request to the kernel (inotify) to report each change in a folder as an event.
"""
