"""Makes proof that outsiders can check without this program, and keeps the proof in the journal.

- A *signed head* ends each batch of events, and states how many events there are.
- A *checkpoint* is an event whose signed head people keep outside of the archive, as a *witness line*.
- A *token* is the signed reply of a timestamp authority (RFC 3161) about a signed head.  *Roots* are the
  certificates of the authority, which are pinned when the archive is created.
- A *key rotation* replaces the signing key.  The old key signs the head with it, unless the old key is lost.
"""
