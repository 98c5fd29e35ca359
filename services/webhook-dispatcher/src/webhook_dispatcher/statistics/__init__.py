"""Statistics of a webhook: how its deliveries went lately, and what waits for it."""
