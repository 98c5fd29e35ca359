"""Fixtures that every tier may ask for; an engine starts only when a test asks for it."""

pytest_plugins = ["support.certificates", "support.engines", "support.figures", "support.node_clients"]
