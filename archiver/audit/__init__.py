"""The inspection package: one folder that a stranger can check without this program.

A *selection* says what goes along.  The *bag* (BagIt, RFC 8493) lists every file with its digest; the *report*
is a page for people; the *verifier* in ``resources`` needs nothing but Python.
"""
