"""Check an archive by reading the files independently, with none of the code for writing.

- A *finding* is a fault. Its code, such as A057, is the same in documentation and alarms. A *note* is not a fault.
- The *journal state* is the state that the events read so far require of the archive. The *expected* refs, commits
  and content are compared with those in the repository.
- A *witness* is a checkpoint as one line, which somebody keeps outside of the archive.
- A *token* is the signed reply of a timestamp authority.
"""
