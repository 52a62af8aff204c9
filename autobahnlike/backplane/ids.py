"""Connection ids: 11 bytes in Base64 for URLs (RFC 4648, section 5), as API Gateway's are.

The first 4 bytes name the node, the rest cannot be guessed. So whoever wants to send to a connection knows from the id
where to ask, without looking it up anywhere.
"""

from __future__ import annotations

import base64
import binascii
import secrets

__all__ = ("NODE_ID_SIZE", "new_connection_id", "new_node_id", "node_of")

NODE_ID_SIZE = 4
_RANDOM_SIZE = 7
_SIZE = NODE_ID_SIZE + _RANDOM_SIZE
_TEXT_SIZE = 16


def new_node_id() -> bytes:
    """Return 4 random bytes."""
    return secrets.token_bytes(NODE_ID_SIZE)


def new_connection_id(node_id: bytes) -> str:
    """Return an id for a connection of a node: 16 characters, the last of which is ``=``.

    Args:
        node_id: the 4 bytes of :attr:`~autobahnlike.backplane.Backplane.node_id`.

    Raises:
        ValueError: they are not 4.
    """
    if len(node_id) != NODE_ID_SIZE:
        raise ValueError(f"a node id has {NODE_ID_SIZE} bytes, not {len(node_id)}")
    return base64.urlsafe_b64encode(node_id + secrets.token_bytes(_RANDOM_SIZE)).decode("ascii")


def node_of(connection_id: str) -> bytes | None:
    """Return the node that a connection id names; None if it is no connection id."""
    if len(connection_id) != _TEXT_SIZE or not connection_id.isascii():
        return None
    try:
        decoded = base64.b64decode(connection_id, altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return decoded[:NODE_ID_SIZE] if len(decoded) == _SIZE else None
