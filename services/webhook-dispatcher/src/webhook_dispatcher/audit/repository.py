"""SQL of audit entries: the dispatcher's table has the form that services share."""

from shared.audit_entries import repository as shared_entries

record = shared_entries.record

__all__ = ["record"]
