"""What tests share."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "gridsync.py"
