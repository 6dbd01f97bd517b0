"""Install the program as its users have it, in an environment of its own: ``python benchmarks/installed.py``.

The environment of the checkout has hooks of the tools for its tests, which take 10 ms at each start.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = Path(sys.prefix) / "bench"
PYTHON = ENVIRONMENT / "bin" / "python"
#: The command that all measurements start.
COMMAND = ENVIRONMENT / "bin" / "archiver"


def main() -> None:
    """Make the environment anew; the packages that the program needs are those of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", ENVIRONMENT], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(ENVIRONMENT), "platbase": str(ENVIRONMENT)})
    # Only adds the folder: the .pth files in it, such as that of the editable installation, are not read.
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-deps", CHECKOUT)
    subprocess.run([sys.executable, "-m", "pip", "--python", PYTHON, *install], check=True)


if __name__ == "__main__":
    main()
