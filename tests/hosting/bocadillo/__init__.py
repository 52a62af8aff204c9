"""Bocadillo 0.18.3 and ``autobahnlike.app`` side by side: one application, two frameworks, and what a client sees.

``python -m tests.hosting.bocadillo`` installs the real one, which pins old versions of what we need as well, into an
environment of its own; serves the application in this package with both, on our server; and compares.
"""
