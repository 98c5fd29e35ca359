"""Recoveries: many ended deliveries of a webhook sent again, by filter, at a pace that leaves room for the rest."""
