"""The second argument of a Lambda function: what a handler can ask of the call that it is in."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

__all__ = ("LambdaContext",)


@dataclass(slots=True)
class LambdaContext:
    """What Lambda calls the context, as far as it makes sense here.

    Attributes:
        function_name: the name of the handler.
        timeout: how long it may take, in seconds; 0 is for ever.
        aws_request_id: an id of the call.
        function_version: ``$LATEST``.
        memory_limit_in_mb: 0: there is none.
    """

    function_name: str
    timeout: float = 29.0
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 0
    _begun: float = field(default_factory=time.monotonic)

    @property
    def log_stream_name(self) -> str:
        """The name of the handler: there is no stream."""
        return self.function_name

    @property
    def log_group_name(self) -> str:
        """The name of the handler: there is no group."""
        return self.function_name

    @property
    def invoked_function_arn(self) -> str:
        """Something of the form of an ARN, which names the handler."""
        return f"arn:aws:lambda:local:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the handler may go on, in milliseconds."""
        if not self.timeout:
            return 2**31 - 1
        return max(0, int((self.timeout - (time.monotonic() - self._begun)) * 1000))
