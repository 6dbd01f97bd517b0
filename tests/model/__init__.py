"""A model of the whole: random work on a real archive, beside a simple statement of what must be true.

The statement is written without the program's journal, index and checks: it reads git's objects itself, and decides
retention, chains and signatures by rules of its own.

- *World*: everything that the model knows: clocks, watched folder, keys, and the reference state of the archive.
- *Expectation*: which events an act must append, in which batches, or with which error it must be refused.
- *Machine*: draws acts, performs them on the program, and compares.

A new kind of event needs an act (``acts``), its effect (``ReferenceState._apply_...``), what it must append or why it
is refused (``expectations``, or a module of its subject such as ``corrections``), and a rule in the module of rules
where it belongs, or in a new one that ``archives`` adds to the machines.  What the event changes about retention goes
into ``retention_rules``, what it changes about the program's answers into ``comparison``, which calls the modules of
the subjects, and a finding that it may leave into ``World.expected_findings``.
"""
