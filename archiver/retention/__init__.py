"""Decides how long everything is kept and why, and refuses any earlier deletion.

A *promise* is a period that was once in force for a material.  It can only grow.  A *hold* keeps something
whatever the date.  A *disposal* is planned, approved by two people, carried out after a cooling-off period, and
certified.
"""
