"""How the gateway speaks with a wallet: ``client.py`` is the port, ``endpoint.py`` whom it speaks with."""
