"""Property tests fail for what they find, never for how slow the machine is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("fastxfer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fastxfer")
