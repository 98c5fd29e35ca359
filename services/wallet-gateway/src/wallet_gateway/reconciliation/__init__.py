"""Our records against the wallet's own feed: what differs is a break, which a person resolves.

``reconciler.py`` runs in the worker; ``comparison.py`` and ``feed.py`` decide; ``routes.py`` shows.
"""
