"""Reads documents: what type a material is, its text and pages, and whether it came whole.

Foreign bytes are parsed in a *document worker* with limits on memory and time.  *Integrity* is a note made at
capture, from the first and last bytes alone.
"""
