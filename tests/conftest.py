"""What all tests share."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadline: no test depends on the speed of the machine. In CI always the same examples, so that what fails there is
# the change; elsewhere new ones each time.
settings.register_profile("autobahnlike", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("autobahnlike")

# A shell without job control starts what it runs in the background with SIGINT ignored, and that is inherited:
# programmes that are to be stopped with Ctrl-C here would not notice it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
