"""``index.db``, which answers questions that the journal alone would answer slowly.

It is derived: *queries* read it, ``apply`` takes events in, and damaged or of another release it is made again
from the journal.
"""
