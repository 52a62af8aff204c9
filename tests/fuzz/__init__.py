"""Fuzz targets: modules with a function ``fuzz_one``, which raises if anything but what is documented happens.

``python -m tests.fuzz.frames`` fuzzes for as long as it is let, if atheris is installed; with names of files it tries
those, which is how a crash is looked at. The normal test command runs each target for a few seconds.
"""
