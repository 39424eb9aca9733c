"""What an FTS3 server is asked."""

from __future__ import annotations
