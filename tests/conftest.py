"""What holds for the tests of all areas."""

from __future__ import annotations

import hypothesis

# How long an example, or the making of one, takes says nothing on a busy machine.
hypothesis.settings.register_profile(
    "untimed",
    parent=hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")
