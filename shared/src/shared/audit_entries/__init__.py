"""Audit entries: who changed what, written in the transaction of the change. Users: webhook-dispatcher, wallet-gateway.

Credentials keeps a chained log of its own, which alone is offered over HTTP. These are kept for ``CAUSEWAY_AUDIT_DAYS``.
"""
