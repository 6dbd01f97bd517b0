"""Computes deadlines, and reminds people of duties.

A *rule* gives a period and its authority: statute, policy, or stated by a notice.  *Deadlines*
are counted in calendar or in working days.  A *reminder* goes to the responsible person.
"""
