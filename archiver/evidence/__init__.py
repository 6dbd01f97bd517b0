"""Makes proof that can be shown to somebody who trusts nobody's software.

A *checkpoint* is a signed tag over every ref as it stands.  A *token* is what a time-stamp authority (RFC 3161)
says of the newest event.  A *key rotation* puts a new signing key into force, endorsed by the old one.
"""
