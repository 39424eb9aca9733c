"""How a demo begins and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.grid.xrootd import NotUp


def play(main: Callable[[], int]) -> None:
    """Play a demo, and end with its status; whoever interrupts it is told that nothing runs on."""
    try:
        sys.exit(main())
    except NotUp as error:
        sys.exit(f"The demo's {error}")
    except KeyboardInterrupt:
        print("\nInterrupted. The servers have stopped.", file=sys.stderr)
        sys.exit(130)
