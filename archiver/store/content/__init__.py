"""The bytes of materials, each once, under the name of their SHA-256, where stock git-lfs looks for them.

A *source* is a file of the watched folder opened for reading; it is *staged* in the spool while it is hashed, and
*published* under its name when it has not changed meanwhile.
"""
