"""The inspection package: a folder for strangers, who can check everything without this program.

A *selection* names the versions to include.  The package is a *bag* (BagIt, RFC 8493), whose manifests list every
file with its digest.  The *report* is a page for people.  The *verifier* in ``resources`` needs only Python.
"""
