"""Decides how long everything is kept and why, and refuses any earlier deletion.

A *promise* is a retention that a person accepted; it can only grow.  A longer one in the settings *waits* for
acceptance.  A *hold* keeps something whatever the date.  A *disposal* is planned, approved by two people, carried
out after a cooling-off period, and certified.
"""
