"""The part of the replay that the verifier of a package contains word for word.

    python -m tests.support.embedded_replay

writes the part of archiver/verify/chain_replay.py into archiver/audit/resources/verify.py; a test compares both.
Only the class has another name there, so that a search for one finds one.
"""

from __future__ import annotations

from tests.support.site import CHECKOUT

REPLAY = CHECKOUT / "archiver/verify/chain_replay.py"
VERIFIER = CHECKOUT / "archiver/audit/resources/verify.py"
_IN_REPLAY = (
    "# --- begin of the part that the verifier of a package contains\n",
    "# --- end of the part that the verifier of a package contains\n",
)
_IN_VERIFIER = (
    "# --- begin of what the program contains as well (archiver/verify/chain_replay.py)\n",
    "# --- end of what the program contains as well\n",
)
#: In the program, and in the verifier.
_CLASS_NAMES = ("ChainReplay", "PackagedChainReplay")


def embedded(verifier: str) -> str:
    """The text of the verifier with the part as it is now."""
    replay = REPLAY.read_text("utf-8")
    part = replay.split(_IN_REPLAY[0])[1].split(_IN_REPLAY[1])[0]
    part = part.replace(*_CLASS_NAMES)
    before, rest = verifier.split(_IN_VERIFIER[0])
    return before + _IN_VERIFIER[0] + part + _IN_VERIFIER[1] + rest.split(_IN_VERIFIER[1])[1]


def main() -> None:
    """Write it."""
    VERIFIER.write_text(embedded(VERIFIER.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
