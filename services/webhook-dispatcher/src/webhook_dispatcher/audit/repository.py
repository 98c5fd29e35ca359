"""SQL of audit entries: the dispatcher's table has the form that services share."""

from shared.audit_entries.repository import record

__all__ = ["record"]
