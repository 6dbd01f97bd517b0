"""Follows a filing (备案) as a company does: submissions, notices, changes, the public display.

The *register* (台账) is the state of all filings, computed from the journal's events.  A *submission* to the
regulator has a signed version.  A *notice* (通知) comes from the regulator.  After filing, a person decides
whether each *change* is material (重大变更).
"""
