"""Hostile peers: raw sockets against a server and a client that run in processes of their own.

Every rule has an id (``H01``, ``F21``, ``R24``, …), which the threat model names. A case is a function that attacks,
and fails if the rule does not hold. What surrounds it is the same for all cases: a healthy client echoes meanwhile, and
afterwards the server must serve, have grown by no more than the case allows, and have logged no unhandled error.

- ``peers``: the bytes of attacks, made here and not by the package under test, and the socket that sends.
- ``processes``: the process under attack, and what can be seen of it from outside.
- ``registry``: what a case is. ``arena``: how cases are run.
- ``handshake``, ``frames``, ``deflate``, ``slow_readers``, ``keepalive``, ``closing``, ``load``, ``shutdown``: the
  cases for servers. ``client_handshake``, ``client_frames``, ``client_closing``: the cases for clients.
- ``servers``, ``clients``: the scripts under attack.

``pytest tests/hostile`` judges behaviour and memory, and holds times only to very generous bounds, so that no result
depends on the speed of a machine. ``python -m tests.hostile`` prints all figures and judges by the intended bounds.
"""
