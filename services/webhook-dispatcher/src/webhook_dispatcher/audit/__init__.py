"""The dispatcher's audit entries: who changed what, written in the transaction of the change."""
