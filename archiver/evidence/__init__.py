"""Makes proof that outsiders can check without this program, and keeps the proof in the journal.

- A *checkpoint* is an event with a signed tag.  The tag states the SHA-256 of the previous event and the
  *roll-up*, a digest of all refs.
- A *token* is the signed reply of a timestamp authority (RFC 3161) about one event.  *Roots* are the certificates
  of the authority, which are pinned when the archive is created.
- A *key rotation* replaces the signing key.  The old key signs the new one, unless the old key is lost.
"""
