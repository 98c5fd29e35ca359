"""Lets a test answer for every name that the processes it starts look up: put this folder on their ``PYTHONPATH``.

``CHAOS_NAME_SERVER_PORT`` is where on loopback the name server listens; nobody else is asked. What is looked up without
``aiodns`` is not touched: nothing that leads out of a service is.
"""

import os
from typing import Any

if "CHAOS_NAME_SERVER_PORT" in os.environ:
    import aiodns

    _PORT = int(os.environ["CHAOS_NAME_SERVER_PORT"])

    class _ChosenNameServer(aiodns.DNSResolver):
        def __init__(self, _nameservers: object = None, loop: Any = None, **options: Any) -> None:
            super().__init__(["127.0.0.1"], loop, **{**options, "udp_port": _PORT, "tcp_port": _PORT})

    aiodns.DNSResolver = _ChosenNameServer  # type: ignore[assignment,misc] # a class takes the place of its base
