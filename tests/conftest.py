"""Fixtures that every tier may ask for; an engine starts only when a test asks for it."""

from hypothesis import settings

pytest_plugins = [
    "support.certificates",
    "support.engines",
    "support.figures",
    "support.loopback_only",
    "support.node_clients",
]

# How long an example takes says how busy the machine is; speed is measured by the benchmarks.
settings.register_profile("causeway", deadline=None)
settings.load_profile("causeway")
