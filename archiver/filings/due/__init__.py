"""Computes deadlines, and reminds people of duties.

A *rule* gives a duty its period and its authority: a statute, this program's policy, or a notice that states a
day.  *Deadlines* are counted in working days.  A *reminder* goes to the person in charge.
"""
