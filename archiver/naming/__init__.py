"""Tell the three forms of a name apart: as the file system has it, as people read it, and as git has it.

- The *raw name* of a file or folder is ``bytes``, because a file server may have names in any encoding.
- The *name for people* is a :data:`~archiver.naming.readable_names.ReadableName`: the raw name wherever a screen
  can show it. Every command accepts it.
- The *ref form* is a :class:`~archiver.naming.ref_names.RefName`, such as a tag: git refuses some characters in a
  ref, so they are escaped.

docs/format.md, "Names", has the rules for the escapes ``%XX``.

People see the ref form only where a document for programs has it: messages, tables and pages replace every RefName
by the name for people.
"""
