"""Performs every act on an archive except capturing, in this process or in the daemon.

An *action* is one such act, and has a name on the socket. Its *request* is a frozen dataclass that carries the
arguments from the command line to the handler. An *argument* is a field of the request in its wire form. The
*context* holds the open archive, the settings, and the *attachment*, a file sent along with the request. The
*registry* finds actions and performs them. The *protocol* encodes and decodes messages. The *client* sends a
request to the daemon if the archive belongs to another user.
"""
