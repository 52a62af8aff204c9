"""Runs what the documentation of applications shows, and checks that it does what the text says.

``run`` serves each block on a loop, ``peer`` is the client, and the modules ``check_*`` say what each view has to do.
"""
