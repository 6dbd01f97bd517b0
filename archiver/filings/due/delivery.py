"""Send messages to addresses of apprise.  No other module imports apprise.

An address contains a secret, such as a token or a password.  Addresses come from the environment or from a file
that only its owner can read.  They must never appear in a log, in the journal or in a message.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from archiver.errors import ConfigError
from archiver.filings.due.reminders import MANAGER, OWNER

#: The prefix of environment variables with addresses.  The name of a role follows, in capitals.
_VARIABLE_PREFIX = "ARCHIVER_TARGET_"


def load_addresses(address_file: Path | None, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the addresses of each role or person, as URLs for apprise.

    The addresses come from the TOML file at ``address_file``; None means that there is no file.  If
    ``environment`` has the variable ARCHIVER_TARGET_OWNER or ARCHIVER_TARGET_MANAGER, its addresses, separated by
    spaces, replace the addresses of this role in the file.

    Raises ConfigError if the file cannot be read, if other users can read it, or if it is not valid.  The error
    never quotes an address.
    """
    addresses_by_recipient = _read_address_file(address_file) if address_file else {}
    for role in (OWNER, MANAGER):
        if variable_value := environment.get(_VARIABLE_PREFIX + role.upper()):
            addresses_by_recipient[role] = variable_value.split()
    return addresses_by_recipient


def _read_address_file(address_file: Path) -> dict[str, list[str]]:
    """Return the addresses in the file at ``address_file``, by role or person.

    Raises ConfigError if the file cannot be read, if other users can read it, or if it is not valid.
    """
    try:
        permission_bits = stat.S_IMODE(os.stat(address_file).st_mode)
        if permission_bits & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                "The file with reminder addresses {path} can be read by other users (mode {mode}). Nothing was "
                "changed. To restrict it to its owner, run: chmod 600 {path!q}",
                path=address_file,
                mode=f"{permission_bits:04o}",
            )
        addresses_by_recipient = tomllib.loads(address_file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            "Cannot read the file with reminder addresses {path} ({reason}). Nothing was changed. Check the name.",
            path=address_file,
            reason=error.strerror,
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's own message would quote a line, and with it a secret.  The check below refuses the file,
        # because None is not a list.
        addresses_by_recipient = {"": None}
    if not all(
        isinstance(addresses, list) and all(isinstance(address, str) for address in addresses)
        for addresses in addresses_by_recipient.values()
    ):
        raise ConfigError(
            "The file with reminder addresses {path} is not valid. Nothing was changed. The form of a line is: "
            'owner = ["mailto://..."]',
            path=address_file,
        )
    return addresses_by_recipient


def send_message(address: str, title: str, body: str) -> bool:
    """Send a message to an address; return True if the service at the address accepted it.

    Returns False if the address is not valid or the message could not be sent.  Turns off apprise's log for the
    whole process.
    """
    # Imported here, because most commands send no message, and start sooner without apprise.
    import logging

    import apprise

    # apprise logs addresses, which contain secrets.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    sender = apprise.Apprise()
    return sender.add(address) and bool(
        sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
    )
