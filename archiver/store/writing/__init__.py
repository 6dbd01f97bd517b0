"""Writes to an archive: what is drafted becomes events and versions, durable together.

- A *draft* is an event or a version that is not in the archive yet.
- A *batch* holds the events that become durable together.  The *writer* writes it in one import and one
transaction
  of refs.
- A *chain* is the sequence of a filing's events; its *head* is the newest of them.
- A *signed head* ends each batch.  It states how many events there are in each chain.
- An *upgrade* moves an archive of an earlier format to the present one, in one batch.
"""
