"""The replica: an off-site copy in a bucket whose objects are locked against deletion until a date.

- The *bucket* is the port to object storage, *S3* the only implementation.
- *Desired* objects are the content that the bucket must have, *replicated* objects the content known to be there;
  a *sync* makes them equal.
- History travels as git *bundles*, each for a *span* of journal events.
- A *claim* is the object that names the archive to which a prefix belongs.
- A *probe* is an object that only tests the lock of a bucket, and the *proof* is the outcome of the test.
- An *inventory check* compares bucket and archive independently of the sync; a *rebuild* makes an archive from the
  bucket alone.
"""
