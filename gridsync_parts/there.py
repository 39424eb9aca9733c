"""What a target site has, as whoever decides sees it: what OUTPUTDIR is for a copy to this machine."""

from __future__ import annotations
