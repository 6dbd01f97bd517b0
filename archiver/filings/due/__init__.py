"""What has to be done next, by when, and telling people.

A *rule* says what follows from what, and on whose authority: statute, policy, or stated by a notice.  *Deadlines*
are counted in calendar or in working days.  A *reminder* tells the person whose matter it is.
"""
