"""Compute deadlines, and remind people of duties.

A *rule* says what follows from what, and on whose authority: statute, policy, or stated by a notice.  *Deadlines*
are counted in calendar or in working days.  A *reminder* tells the person whose matter it is.
"""
