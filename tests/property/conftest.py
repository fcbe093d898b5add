"""No example fails because the machine is busy: how long one takes says nothing about what it shows."""

from hypothesis import HealthCheck, settings

settings.register_profile("any-pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-pace")
