"""Performs every act on an archive besides capturing, in this process or on the other side of the socket.

An *action* is one such act, by the name that it has on the socket.  Its *request* is a frozen dataclass with the
arguments, carried from the command line to the handler; an *argument* is a field of it in its wire form.  The
*context* is what the handler works on: the open archive, the settings, the *attachment* that was sent along.  The
*registry* finds actions and performs them; the *protocol* encodes messages, and the *client* asks the daemon of an
archive that belongs to another user.
"""
