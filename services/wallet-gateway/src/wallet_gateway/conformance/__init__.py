"""The conformance kit: does a wallet system keep every rule of ``ewp/1``? ``python -m wallet_gateway conformance --help``.

One rule is one function, in a module named for its topic; ``catalogue.py`` lists them in the order in which they are judged.
``bench.py`` is what rules work with, ``peer.py`` sends requests, ``run.py`` judges, ``reports/`` tells.
"""
