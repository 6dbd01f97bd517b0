"""Describes the open points of a submission, which a person should know before a version is signed.

An *open point* is a fact such as a conflict copy, or a document that is still open.  A few of them *refuse* the
signature, unless a person states a reason; all others are printed, and recorded with the signature.
"""
