"""``python -m rdt STAGE ...``: the same as the command ``rdt``."""

from __future__ import annotations

import sys

from rdt.cli import main

if __name__ == "__main__":
    sys.exit(main())
