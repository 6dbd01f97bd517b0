"""The inspection package: a folder for strangers, who can check everything without this program.

A *selection* names the versions to include.  The *bag* (BagIt, RFC 8493) lists every file with its digest; the
*report* is a page for people; the *verifier* in ``resources`` needs nothing but Python.
"""
