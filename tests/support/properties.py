"""How hypothesis tries what must hold for all that there may be."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support import FEW_EXAMPLES, TOP

set_hypothesis_home_dir(TOP / "build/hypothesis")

# The same examples each time, and as slow as the machine is; make test tries a fifth of them.
PROPERTY = settings(
    max_examples=60 if FEW_EXAMPLES in os.environ else 300, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
OFTEN = settings(PROPERTY, max_examples=PROPERTY.max_examples // 3)  # where each takes a request or writes files
