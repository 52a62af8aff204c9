"""How fast it is, beside its peers; ``python -m benchmarks`` measures, ``docs/guide/performance.rst`` explains."""
