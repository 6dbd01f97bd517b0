"""The replica: a copy in a bucket whose objects are locked against deletion until a date.

- The *bucket* is the port to object storage, and *S3* is its only implementation.
- *Desired* objects are the content that the bucket must have. *Replicated* objects are the content that it is
  known to have. A *sync* uploads, locks and deletes until the two are equal.
- History travels as git *bundles*. Each bundle holds a *span* of journal events.
- A *claim* is the object that names the archive to which a prefix belongs.
- A *probe* is an object that only tests the lock of a bucket. The *proof* is the outcome of the test.
- An *inventory check* compares the bucket with the archive and shares no code with the sync.
- A *rebuild* creates an archive from the bucket alone.
"""
