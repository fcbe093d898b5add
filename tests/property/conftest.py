"""Hypothesis settings without time limits, so that no example fails because the machine is busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("any-pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-pace")
