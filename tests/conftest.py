"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No deadline: no test depends on the speed of the machine.
settings.register_profile("autobahnlike", deadline=None)
settings.load_profile("autobahnlike")
