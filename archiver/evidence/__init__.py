"""Makes proof for people who trust nobody's software, and keeps the proof in the journal.

- A *checkpoint* is a signed tag over every ref as of one event; the *roll-up* is the digest of these refs.
- A *token* is the signed reply of a time-stamp authority (RFC 3161) about the newest event; *roots* are the
  certificates of the authority, pinned when the archive was created.
- A *key rotation* puts a new signing key into force, endorsed by the old key unless that is lost.
"""
