"""``index.db``, which answers questions that the journal alone would answer slowly.

The file is derived: *queries* read rows, ``apply`` turns events into rows, and a file that is damaged or of
another release is rebuilt from the journal.
"""
