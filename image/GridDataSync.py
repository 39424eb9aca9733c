#!/usr/bin/python3
"""gridsync under all its names in the container; what it is made of is in /usr/local/lib/gridsync."""

import sys

sys.path.insert(0, "/usr/local/lib/gridsync")
from gridsync import script

script()
