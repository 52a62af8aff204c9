"""One suite for all four loops: what applications are promised, whichever loop they run on.

A *scenario* is an ``async def`` that is written once, against a ``Kit``, which has the same few methods on each loop.
Two reactors cannot live in one process, so there is one process for each loop (``run.py``), which runs all scenarios
and reports each; ``test_scenarios.py`` makes a test of every scenario on every loop. To run some of them by hand, with
everything they print: ``python -m tests.conformance.run twisted NAME...``.
"""
