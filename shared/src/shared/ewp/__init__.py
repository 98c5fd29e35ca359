"""The external wallet protocol ``ewp/1``: a wire contract between Causeway and the systems that hold the money.

Used by the wallet-gateway, which calls, by the reference wallet, which answers, and by the conformance kit, which judges.
``money.py`` reads and writes amounts, ``messages.py`` what is sent, ``signatures.py`` proves who sent it.
"""
