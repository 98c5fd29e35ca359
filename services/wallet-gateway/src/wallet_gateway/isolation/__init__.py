"""One wallet's trouble stays its own: per wallet, limits for reads and writes, a rate, and a breaker.

Used by balances, external_wallets, transfers and reconciliation. ``gate.py`` is the way in, ``breaker.py`` decides, and
``notices.py`` tells the other processes when a breaker opens.
"""
