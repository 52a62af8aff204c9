"""A bounded run of every fuzz target: the committed corpus, and what Hypothesis makes of it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import frames, requests, responses
from tests.fuzz.runner import CORPUS, corpus

TARGETS = {"requests": requests.fuzz_one, "responses": responses.fuzz_one, "frames": frames.fuzz_one}
SEEDS = {name: corpus(name) for name in TARGETS}
EVERY_SEED = [(name, seed) for name in TARGETS for seed in SEEDS[name]]

# What is worth inserting: line ends, limits of lengths, magic numbers.
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b",", b";", b'"', b":", b"\x0b", b"\x1c", b"\x85", b"\xff" * 8),
    *(b"X-Injected: 1", b"Sec-WebSocket-Key", b"websocket", b"HTTP/1.1", b"permessage-deflate", b"chunked"),
    *(b"\x81\x80", b"\x88\x02\x03\xe8", b"\x89\x00", b"\x8a\xfe", b"\xc1\xff", b"\x00\x00\xff\xff", b"\x80\x00"),
]


def mutate(data: bytes, source: random.Random) -> bytes:
    """Change an input in a few places."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 3, 5, 8))):
        at, end = sorted(source.randrange(len(changed) + 1) for _ in range(2))
        end = min(end, at + source.choice((1, 2, 8, 64)))
        byte, noise = source.randbytes(1), source.randbytes(source.randrange(9))
        changed[at:end] = source.choice((byte, noise, source.choice(TOKENS), changed[at:end] * 2, b""))
    return bytes(changed)


@pytest.mark.parametrize(("name", "seed"), EVERY_SEED)
def test_the_corpus(name: str, seed: str) -> None:
    TARGETS[name](SEEDS[name][seed])


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_the_corpus(name: str) -> None:
    # Always the same ones: what is found once is found again.
    source = random.Random(f"autobahnlike {name}")
    seeds = list(SEEDS[name].values())
    for _ in range(15_000):
        TARGETS[name](mutate(source.choice(seeds), source))


@settings(max_examples=1200, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(TARGETS)), st.data())
def test_what_hypothesis_makes_of_it(name: str, data: st.DataObject) -> None:
    parts = st.one_of(st.binary(max_size=60), st.sampled_from(TOKENS), st.sampled_from(list(SEEDS[name].values())))
    TARGETS[name](b"".join(data.draw(st.lists(parts, max_size=6))))


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_can_be_run_on_files(name: str) -> None:
    files = [str(path) for path in sorted((CORPUS / name).iterdir())[:2]]
    command = [sys.executable, "-m", f"tests.fuzz.{name}", *files]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{file}: nothing wrong" for file in files]
