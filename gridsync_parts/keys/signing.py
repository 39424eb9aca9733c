"""A proxy that is made of the user's, for a server that asks for one."""

from __future__ import annotations
