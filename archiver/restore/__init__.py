"""Brings versions back into a folder, and rehearses a restore.

A *plan* compares a version with a target folder before anything is written.  A *drill* restores a sample of
materials into a temporary folder and compares them, so that a restore is known to work before it is needed.
"""
