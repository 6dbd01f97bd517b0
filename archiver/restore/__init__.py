"""Restores versions to a folder, and rehearses that.

A *plan* compares a version with the *target* folder before anything is written.  A *drill* restores a sample of
materials to a temporary folder and compares them, so that people know that restoring works before they need it.
"""
