"""What people and the daemon do to an archive besides capturing, from the command line or through the socket.

An *action* is one such act, with its arguments; the *registry* knows all of them and performs one in a *context*
(the open archive, the settings, who asks).  The *protocol* is how the command line asks the daemon for an action
when the caller may not write the archive.
"""
