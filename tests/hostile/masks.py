"""Whether masking keys come from a generator whose next number can be computed from those before.

RFC 6455, section 5.3: "The masking key needs to be unpredictable". The generators that have been found in WebSocket
clients are the Mersenne Twister (of ``random`` in Python), the additive feedback generator of the C library's ``rand``,
linear congruential generators, counters and constants. Each is given all but the last numbers and asked for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

WORD = 0xFFFFFFFF
STATE = 624

Predictor = Callable[[Sequence[int]], int]


def assert_unpredictable(masks: list[bytes]) -> None:
    """None of the known generators foretells the masks, in either byte order.

    Args:
        masks: at least 700 masking keys, in the order they were used.
    """
    assert len(masks) >= STATE + 76
    assert len(set(masks)) > len(masks) - 5, "masks repeat"
    for order in ("big", "little"):
        numbers = [int.from_bytes(mask, "big" if order == "big" else "little") for mask in masks]
        for predict in (_constant_step, _congruential, _additive_feedback):
            hits = sum(number == predict(numbers[:at]) for at, number in enumerate(numbers) if at >= STATE)
            assert hits < 3, f"{predict.__name__} foretells {hits} masks ({order} endian)"
        twister = _twister(numbers[:STATE])
        hits = sum(number == next(twister) for number in numbers[STATE:])
        assert hits < 3, f"the Mersenne Twister foretells {hits} masks ({order} endian)"


def _constant_step(seen: Sequence[int]) -> int:
    return (2 * seen[-1] - seen[-2]) & WORD


def _congruential(seen: Sequence[int]) -> int:
    """Next = a x + c modulo 2^32, from the last four numbers, where the difference has an inverse."""
    w, x, y, z = seen[-4:]
    step = (x - w) & WORD
    if not step & 1:
        return -1
    factor = (y - x) * pow(step, -1, 1 << 32) & WORD
    return (factor * (z - y) + z) & WORD


def _additive_feedback(seen: Sequence[int]) -> int:
    """The rand() of glibc: the sum of the 3rd and 31st last, but for a carry out of a bit that is not shown."""
    return (seen[-3] + seen[-31]) & 0x7FFFFFFF


def _undo_right(value: int, shift: int) -> int:
    result = value
    for _ in range(32 // shift):
        result = value ^ result >> shift
    return result


def _undo_left(value: int, shift: int, bits: int) -> int:
    result = value
    for _ in range(32 // shift):
        result = value ^ (result << shift & bits)
    return result & WORD


def _untempered(number: int) -> int:
    number = _undo_right(number, 18)
    number = _undo_left(number, 15, 0xEFC60000)
    number = _undo_left(number, 7, 0x9D2C5680)
    return _undo_right(number, 11)


def _twister(seen: Sequence[int]) -> Iterator[int]:
    """MT19937 in the state that these 624 numbers reveal."""
    state = [_untempered(number) for number in seen]
    while True:
        value = (state[0] & 0x80000000) | (state[1] & 0x7FFFFFFF)
        state.append(state[397] ^ value >> 1 ^ (0x9908B0DF if value & 1 else 0))
        del state[0]
        number = state[-1]
        number ^= number >> 11
        number ^= number << 7 & 0x9D2C5680
        number ^= number << 15 & 0xEFC60000
        yield number ^ number >> 18
