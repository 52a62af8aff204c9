"""Chalice-style applications by connection id."""
