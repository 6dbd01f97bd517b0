"""Decides which entries of the watched folder are no filing documents.

*Litter* is what programs leave behind in every folder: recycle bins, thumbnails, lock files.  An *ignore pattern*
matches the names of litter.
"""
