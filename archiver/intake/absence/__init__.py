"""Tells deletion from absence: a file out of sight is not deleted.

A *deletion* needs proof: something known to the archive is still seen below the watched folder.  *Absence* is
everything else, such as an unmounted share or a locked folder, until a person accepts it.
"""
