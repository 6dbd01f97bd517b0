"""Keeps ``index.db``, which answers questions that the journal alone would answer slowly.

The file is derived: *queries* read rows, and ``apply`` turns events into rows. A file that is damaged or of
another release is rebuilt from the journal.
"""
