"""Keeps the bytes of each material once, under the SHA-256, in the place where stock git-lfs looks for objects.

A *source* is a file of the watched folder that is open for reading.  A copy is *staged* in the spool, hashed while
it is written, and *published* under its SHA-256 if the source did not change in between.
"""
