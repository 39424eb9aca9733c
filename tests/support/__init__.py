"""What tests share."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "gridsync.py"
FEW_EXAMPLES = "FEW_EXAMPLES"  # set where hypothesis is to try few of all that there may be
