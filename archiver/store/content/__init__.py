"""Keeps the bytes of each material once, under the SHA-256, in the place where stock git-lfs looks for objects.

A *source* is a file of the watched folder opened for reading.  A copy is *staged* in the spool and hashed on the
way, and *published* under its name if the source did not change during the copy.
"""
