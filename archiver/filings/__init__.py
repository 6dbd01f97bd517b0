"""What a filing (备案) is to a company: submissions, notices, changes, the public display.

The *register* (台账) is folded from the journal's events.  A *submission* to the regulator seals a version; a
*notice* (通知) is what the regulator sends; a *change* after filing waits for somebody to decide whether it is
material (重大变更).
"""
