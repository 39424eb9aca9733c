"""Workers: those of this machine, of a batch system, or of a scheduler that is there."""

from __future__ import annotations


def check_where(where: str) -> None:
    """Refuse what --workers can't mean, or what something is not installed for."""
    raise NotImplementedError
