"""Text from and for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.cli.text import LineSplitter, format_binary, printable
from autobahnlike.exception import PayloadExceededError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("hello", "hello"),
        ("naïve 你好 \U0001f600", "naïve 你好 \U0001f600"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb\x00\x7f\x85\x9b", r"a\rb\x00\x7f\x85\x9b"),
        ("a\n\tb", r"a\n\tb"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_messages_may_have_several_lines() -> None:
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b"", "(binary, 0 bytes) "),
        (b"\x00\xff", "(binary, 2 bytes) 00 ff"),
        (b"a" * 64, "(binary, 64 bytes) " + "61 " * 63 + "61"),
        (b"a" * 65, "(binary, 65 bytes) " + "61 " * 63 + "61…"),
    ],
)
def test_binary_messages_are_described(payload: bytes, line: str) -> None:
    assert format_binary(payload) == line


def feed(splitter: LineSplitter, chunks: list[bytes]) -> list[bytes]:
    return [line for chunk in chunks for line in splitter.feed(chunk)]


def split(chunks: list[bytes], limit: int = 0) -> list[bytes]:
    return feed(LineSplitter(limit), [*chunks, b""])


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"a\r\nb\r", [b"a", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\n", [b"a\r"]),
    ],
)
def test_lines_end_with_lf_or_crlf_and_the_last_one_with_the_stream(stream: bytes, lines: list[bytes]) -> None:
    assert split([stream] if stream else []) == lines


@given(st.lists(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"bcd"]), min_size=1).map(b"".join)))
def test_any_split_of_the_stream_gives_the_same_lines(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert split(chunks) == split([whole] if whole else [])


def test_a_line_at_the_limit_is_taken() -> None:
    assert split([b"abcd\r", b"\nabcd\r\n", b"abcd"], limit=4) == [b"abcd"] * 3


@pytest.mark.parametrize("chunks", [[b"abcde"], [b"abcd", b"e"], [b"a\nabcde\nb\n"], [b"abcd\r\r"]])
def test_a_line_over_the_limit_is_refused_before_it_has_ended(chunks: list[bytes]) -> None:
    with pytest.raises(PayloadExceededError, match="more than 4 bytes"):
        feed(LineSplitter(4), chunks)
