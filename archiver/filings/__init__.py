"""Follows a filing (备案) as a company does: submissions, notices, changes, the public display.

The *register* (台账) is folded from the journal's events.  A *submission* to the regulator has a signed version.
A *notice* (通知) comes from the regulator.  A *change* after filing waits for a person's decision whether it is
material (重大变更).
"""
