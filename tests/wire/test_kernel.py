"""The loops over single bytes, in Python and compiled, against the same in their simplest form."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import string
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autobahnlike
from autobahnlike.speed import COMPILED
from autobahnlike.wire import kernel as running

KEY = b"\x37\xfa\x21\x3d"
KEYS = [None, KEY, b"\0\0\0\0", b"\xff\x00\xff\x00"]
LENGTHS = [*range(70), 125, 126, 127, 255, 256, 4095, 4096, 4097, 65535, 65536, 65537]

ALL_TEXT = [chr(point).encode() for point in range(0x110000) if not 0xD800 <= point < 0xE000]


def in_python() -> ModuleType:
    """The source in Python, where what is imported is the compiled one."""
    path = Path(autobahnlike.__file__).parent / "wire" / "kernel.py"
    spec = importlib.util.spec_from_file_location("kernel_in_python", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KERNELS: dict[str, Any] = {"compiled": running, "Python": in_python()} if COMPILED else {"Python": running}
both = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def naive_mask(data: bytes, key: bytes | None) -> bytes:
    """Section 5.3: octet i is XORed with octet i modulo 4 of the key."""
    return data if key is None else bytes(octet ^ key[index % 4] for index, octet in enumerate(data))


def naive_header(first_byte: int, length: int, key: bytes | None) -> bytes:
    """Section 5.2, "the minimal number of bytes MUST be used to encode the length"."""
    bit = 0 if key is None else 0x80
    if length <= 125:
        header = struct.pack("!BB", first_byte, bit | length)
    elif length <= 0xFFFF:
        header = struct.pack("!BBH", first_byte, bit | 126, length)
    else:
        header = struct.pack("!BBQ", first_byte, bit | 127, length)
    return header + (key or b"")


# What a code point may begin with.
BEGINNINGS = {code[:size] for code in ALL_TEXT for size in range(1, len(code))}


def can_become_valid(data: bytes) -> bool:
    """Whether something is UTF-8, or something that follows makes it so."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data[error.start :] in BEGINNINGS
    return True


def is_valid(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@both
class TestUnmasking:
    @pytest.mark.parametrize("length", LENGTHS)
    def test_every_length(self, kernel: Any, length: int) -> None:
        plain = os.urandom(length)
        data = b"xy" + KEY + naive_mask(plain, KEY) + b"behind"
        assert kernel.unmask(data, 6, 6 + length) == plain
        assert kernel.apply_mask(naive_mask(plain, KEY), KEY) == plain

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_masking_takes_any_buffer_and_leaves_it_alone(self, kernel: Any, kind: type) -> None:
        for length in (0, 5, 5000):
            data = os.urandom(length)
            buffer = kind(data)
            assert kernel.apply_mask(buffer, KEY) == naive_mask(data, KEY)
            assert bytes(buffer) == data

    def test_what_is_not_there_is_refused(self, kernel: Any) -> None:
        data = KEY + b"payload"
        for start, end in ((3, 5), (0, 4), (-1, 5), (-7, -3), (5, 4), (4, 12), (12, 12), (11, 1 << 40)):
            with pytest.raises(IndexError):
                kernel.unmask(data, start, end)
        assert kernel.unmask(data, 11, 11) == b""

    def test_none_is_not_bytes(self, kernel: Any) -> None:
        calls: list[Callable[[], object]] = [
            lambda: kernel.unmask(None, 4, 4),
            lambda: kernel.apply_mask(b"data", None),
            lambda: kernel.apply_mask(None, KEY),
            lambda: kernel.read_fields(None, 0, 0, 1, 1),
            lambda: kernel.put_frame(bytearray(), 0x82, None, None),
            lambda: kernel.put_frame(None, 0x82, b"", None),
            lambda: kernel.put_header(None, 0x82, 0, None),
            lambda: kernel.Assembly().add(None, 0, 0),
            lambda: kernel.Assembly().append(None),
            lambda: kernel.Assembly().unmask(None, 0, 0),
        ]
        for call in calls:
            with pytest.raises(TypeError):
                call()


FIELDS = b"Host: a\r\nX-y:\t b c \t\r\nEmpty:\r\nColons: a:b"
READ = [("Host", "a"), ("X-y", "b c"), ("Empty", ""), ("Colons", "a:b")]


@both
class TestFields:
    def read(self, kernel: Any, lines: bytes, max_line: int = 1000, max_fields: int = 10) -> Any:
        return kernel.read_fields(b"before" + lines + b"behind", 6, 6 + len(lines), max_line, max_fields)

    def test_usual_ones(self, kernel: Any) -> None:
        assert self.read(kernel, FIELDS) == READ

    def test_bounds(self, kernel: Any) -> None:
        assert self.read(kernel, FIELDS, len("X-y:\t b c \t"), 4) == READ
        assert self.read(kernel, FIELDS, len("X-y:\t b c \t") - 1, 4) is None
        assert self.read(kernel, FIELDS, 1000, 3) is None

    @pytest.mark.parametrize(
        "lines",
        [
            b"",
            b":",
            b": a",
            b"name",
            b"na me: a",
            b"name : a",
            b" name: a",
            b"a: b\r\n c",
            b"a: b\r\n",
            b"a: b\r\n\r\nc: d",
            b"a: b\nc: d",
            b"a: b\rc: d",
            b"a: b\r\r\n\nc: d",
            b"a: b\n\rc: d",
            b"a: b\r",
            b"a: b\n",
            b"a\r\nb: c",
        ],
    )
    def test_others(self, kernel: Any, lines: bytes) -> None:
        assert self.read(kernel, lines) is None

    def test_every_byte(self, kernel: Any) -> None:
        tokens = {ord(character) for character in "!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits}
        for byte in range(256):
            name = self.read(kernel, b"a%cb: c" % byte)
            if byte in tokens:
                assert name == [(f"a{chr(byte)}b", "c")]
            else:
                assert name == ([("a", "b: c")] if byte == ord(":") else None)
            value = self.read(kernel, b"a: b%cc" % byte)
            assert value == ([("a", f"b{chr(byte)}c")] if byte == 9 or 32 <= byte < 127 else None)

    def test_what_is_not_there_is_refused(self, kernel: Any) -> None:
        for start, end in ((-1, 3), (2, 1), (0, 5), (5, 5)):
            with pytest.raises(IndexError):
                kernel.read_fields(b"a: b", start, end, 100, 100)


@both
class TestFrames:
    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537])
    def test_a_frame_is_appended(self, kernel: Any, length: int, key: bytes | None) -> None:
        payload = os.urandom(length)
        for first_byte in (0x00, 0x81, 0xC2, 0xFF):
            out = bytearray(b"before")
            kernel.put_frame(out, first_byte, payload, key)
            assert out == b"before" + naive_header(first_byte, length, key) + naive_mask(payload, key)

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, 1 << 20, 1 << 32, (1 << 63) - 1])
    def test_a_header_is_appended(self, kernel: Any, length: int, key: bytes | None) -> None:
        out = bytearray(b"before")
        kernel.put_header(out, 0x82, length, key)
        assert out == b"before" + naive_header(0x82, length, key)

    @pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
    def test_a_key_of_another_length_is_refused(self, kernel: Any, key: bytes) -> None:
        out = bytearray(b"before")
        with pytest.raises(ValueError, match="four bytes"):
            kernel.put_frame(out, 0x82, b"payload", key)
        with pytest.raises(ValueError, match="four bytes"):
            kernel.put_header(out, 0x82, 7, key)
        with pytest.raises(ValueError, match="four bytes"):
            kernel.Assembly().begin_frame(key)
        assert out == b"before"

    def test_what_fits_into_no_header_is_refused(self, kernel: Any) -> None:
        out = bytearray(b"before")
        for first_byte, length in ((256, 0), (-1, 0), (0x82, -1)):
            with pytest.raises(ValueError, match=r"byte|negative|range"):
                kernel.put_header(out, first_byte, length, None)
        assert out == b"before"

    def test_what_is_being_looked_at_is_not_moved(self, kernel: Any) -> None:
        out = bytearray(b"before")
        with memoryview(out), pytest.raises(BufferError):
            kernel.put_frame(out, 0x82, b"payload", KEY)
        assert out == b"before"

    def test_many_frames_in_a_row(self, kernel: Any) -> None:
        out = bytearray()
        expected = b""
        for length in range(300):
            payload = os.urandom(length)
            kernel.put_frame(out, 0x82, payload, KEY)
            expected += naive_header(0x82, length, KEY) + naive_mask(payload, KEY)
        assert out == expected


@both
class TestUtf8:
    def test_all_of_one_and_two_bytes(self, kernel: Any) -> None:
        for size in (1, 2):
            sequences = [bytes(octets) for octets in itertools.product(range(256), repeat=size)]
            assert list(map(kernel.is_utf8, sequences)) == list(map(is_valid, sequences))

    @pytest.mark.parametrize("first", range(0xDF, 0xF1))
    def test_all_of_three_bytes_with_a_lead_for_them(self, kernel: Any, first: int) -> None:
        sequences = [bytes((first, *rest)) for rest in itertools.product(range(256), repeat=2)]
        # A lead of two bytes may be followed by a letter, and this one by nothing else.
        valid = {code for code in ALL_TEXT if len(code) == 3}
        expected = [
            code in valid or (first == 0xDF and code[1] & 0xC0 == 0x80 and code[2] < 0x80) for code in sequences
        ]
        assert list(map(kernel.is_utf8, sequences)) == expected

    def test_four_bytes_at_the_borders(self, kernel: Any) -> None:
        borders = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
        for first in range(0xEF, 0x100):
            sequences = [bytes((first, *rest)) for rest in itertools.product(borders, repeat=3)]
            assert list(map(kernel.is_utf8, sequences)) == list(map(is_valid, sequences))

    def test_all_text_there_is(self, kernel: Any) -> None:
        assert all(map(kernel.is_utf8, ALL_TEXT))
        assert kernel.is_utf8(b"".join(ALL_TEXT))
        assert not kernel.is_utf8(b"".join(ALL_TEXT)[:-1])

    @pytest.mark.parametrize("around", range(70))
    def test_one_wrong_byte_anywhere(self, kernel: Any, around: int) -> None:
        for wrong in (b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
            for letter in ("x", "é", "中", "😀"):
                text = letter.encode() * 70
                position = around * len(letter.encode())
                assert not kernel.is_utf8(text[:position] + wrong + text[position:])

    @pytest.mark.parametrize("kind", [bytes, bytearray])
    def test_takes_any_buffer(self, kernel: Any, kind: type) -> None:
        assert kernel.is_utf8(kind("grüße".encode()))
        assert not kernel.is_utf8(kind(b"gr\xfc\xdfe"))


def pieces_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut something into pieces of these lengths, and the rest."""
    pieces = []
    for size in cuts:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def deliver(assembly: Any, piece: bytes, way: str) -> bool:
    """Hand over a piece: as what may be masked, as what is not, or into the room there is."""
    if way == "append":
        size = assembly.size
        plain = assembly.unmask(piece, 0, len(piece))
        assert assembly.size == size
        return bool(assembly.append(plain))
    good = True
    while way == "room" and (view := assembly.room(len(piece))) is not None:
        view[:] = piece[: len(view)]
        good = assembly.filled(len(view))
        piece = piece[len(view) :]
    return bool(assembly.add(piece, 0, len(piece))) if piece else good


def size_of_room(assembly: Any, wanted: int) -> int:
    view = assembly.room(wanted)
    return 0 if view is None else len(view)


def scribble(view: memoryview | None) -> None:
    """Write to wherever it is."""
    if view is not None:
        view[:] = b"z" * len(view)


def assembly_of(kernel: Any, is_text: bool = False, key: bytes | None = None) -> Any:
    assembly = kernel.Assembly()
    assembly.begin_message(is_text)
    assembly.begin_frame(key)
    return assembly


@both
class TestTextInPieces:
    def test_every_two_bytes_are_refused_at_the_first_wrong_one(self, kernel: Any) -> None:
        singles = [bytes((octet,)) for octet in range(256)]
        may_be = {first: can_become_valid(first) for first in singles}
        assembly = assembly_of(kernel, True)
        for first, second in itertools.product(singles, repeat=2):
            assembly.begin_message(True)
            good = assembly.append(first)
            assert good == may_be[first]
            assert assembly.append(second) == (good and can_become_valid(first + second))
            assert assembly.complete() == is_valid(first + second)
            assembly.clear()

    @pytest.mark.parametrize("first", range(0xE0, 0x100))
    def test_longer_sequences_are_refused_at_the_first_wrong_byte(self, kernel: Any, first: int) -> None:
        borders = (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
        assembly = assembly_of(kernel, True)
        for rest in itertools.product(borders, repeat=3):
            data = bytes((first, *rest))
            assembly.begin_message(True)
            told = [assembly.append(data[index : index + 1]) for index in range(4)]
            assert told == [can_become_valid(data[: index + 1]) for index in range(4)]
            assembly.clear()

    def test_what_was_wrong_stays_wrong(self, kernel: Any) -> None:
        for wrong in (b"\xff", b"\xc0", b"\x80", b"\xe0\x80", b"\xed\xa0"):
            assembly = assembly_of(kernel, True)
            assert not assembly.append(wrong)
            for piece in (b"", b"a", b"\x80", b"\x80\x80", b"x" * 100):
                assert not assembly.append(piece)
                assert not assembly.complete()
            assembly.clear()
            assembly.begin_message(True)
            assert assembly.append(b"a")
            assert assembly.complete()

    def test_binary_is_not_looked_at(self, kernel: Any) -> None:
        assembly = assembly_of(kernel)
        assert assembly.complete()
        assert assembly.append(b"\xff\xc3")
        assert assembly.complete()


class TestAnyFields:
    """Over all kernels in one test, as below."""

    @given(
        st.lists(st.sampled_from([b"a", b"Key", b":", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\x80", b"\0"]), max_size=12)
    )
    def test_usual_ones_are_read_and_no_others(self, pieces: list[bytes]) -> None:
        lines = b"".join(pieces)
        line = rb"[aKey]+:[\taKey: ]*"
        expected = None
        if re.fullmatch(rb"%b(\r\n%b)*" % (line, line), lines):
            pairs = [field.split(":", 1) for field in lines.decode().split("\r\n")]
            expected = [(name, value.strip(" \t")) for name, value in pairs]
        for kernel in KERNELS.values():
            assert kernel.read_fields(lines, 0, len(lines), 1000, 20) == expected


class TestAnyPieces:
    """Over all kernels in one test: Hypothesis and pytest-twisted do not agree about more than one run of a test."""

    @given(st.text(), st.lists(st.integers(0, 40)), st.lists(st.sampled_from(KEYS), min_size=1))
    def test_a_code_point_may_be_cut_also_by_the_end_of_a_frame(
        self, text: str, cuts: list[int], keys: list[bytes | None]
    ) -> None:
        whole = text.encode()
        for kernel in KERNELS.values():
            assembly = assembly_of(kernel, True)
            for piece, key in zip(pieces_of(whole, cuts), itertools.cycle(keys)):
                assembly.begin_frame(key)
                assert assembly.add(naive_mask(piece, key), 0, len(piece))
            assert assembly.complete()
            assert assembly.take() == whole

    @given(
        st.lists(st.tuples(st.binary(max_size=200), st.sampled_from(KEYS)), max_size=5),
        st.lists(st.integers(0, 40)),
        st.lists(st.sampled_from(["add", "append", "room"]), min_size=1),
    )
    def test_frames_cut_anywhere_give_the_message(
        self, frames: list[tuple[bytes, bytes | None]], cuts: list[int], ways: list[str]
    ) -> None:
        for kernel in KERNELS.values():
            assembly = assembly_of(kernel)
            way = itertools.cycle(ways)
            whole = b""
            for plain, key in frames:
                assembly.begin_frame(key)
                for piece in pieces_of(naive_mask(plain, key), cuts):
                    deliver(assembly, piece, next(way))
                whole += plain
                assert assembly.size == len(whole)
            assert assembly.take() == whole


@both
class TestAssembly:
    @pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 500, 511, 512, 513, 2047, 2048, 2049, 100000])
    def test_pieces_of_every_size(self, kernel: Any, length: int) -> None:
        plain = os.urandom(length)
        masked = naive_mask(plain, KEY)
        for size in {1, 2, 3, 7, 100, 1024, 65536} if length < 5000 else {1021, 65536}:
            assembly = assembly_of(kernel, key=KEY)
            for start in range(0, length, size):
                end = min(start + size, length)
                assert assembly.add(b"<" + masked + b">", start + 1, end + 1)
            assert assembly.size == length
            assert assembly.take() == plain

    def test_what_is_unmasked_is_not_added(self, kernel: Any) -> None:
        assembly = assembly_of(kernel, key=KEY)
        masked = naive_mask(b"some payload", KEY)
        assert assembly.unmask(masked, 0, 5) == b"some "
        assert assembly.unmask(masked, 5, 5) == b""
        assert assembly.unmask(masked, 5, 12) == b"payload"
        assert assembly.size == 0
        assembly.begin_frame(None)
        assert assembly.unmask(b"plain", 1, 4) == b"lai"

    def test_what_is_not_there_is_refused(self, kernel: Any) -> None:
        for key in (None, KEY):
            assembly = assembly_of(kernel, key=key)
            for method in (assembly.add, assembly.unmask):
                for start, end in ((-1, 2), (2, 1), (0, 6), (6, 6), (-3, -1), (0, 1 << 40)):
                    with pytest.raises(IndexError):
                        method(b"hello", start, end)
            assert assembly.size == 0

    def test_it_can_be_used_again(self, kernel: Any) -> None:
        assembly = kernel.Assembly()
        for number in range(20):
            plain = os.urandom(number * 100)
            assembly.begin_message(False)
            assembly.begin_frame(KEY)
            assert assembly.add(naive_mask(plain, KEY), 0, len(plain))
            if number % 3:
                assert assembly.take() == plain
            else:
                assembly.clear()
            assert assembly.size == 0
            assert assembly.take() == b""

    def test_a_message_that_was_taken_does_not_change(self, kernel: Any) -> None:
        assembly = assembly_of(kernel)
        assembly.append(b"a" * 2000)
        first = assembly.take()
        assembly.append(b"b" * 2000)
        assert first == b"a" * 2000
        assert assembly.take() == b"b" * 2000


@both
class TestReceivingInPlace:
    def test_only_where_it_saves_a_copy(self, kernel: Any) -> None:
        assembly = assembly_of(kernel)
        assembly.append(b"x" * 1000)
        assert (assembly.room(1000) is None) == (kernel is KERNELS["Python"])

    def test_room_grows_with_what_has_arrived_only(self, kernel: Any) -> None:
        assembly = assembly_of(kernel)
        assert assembly.room(1 << 40) is None
        for _ in range(6):
            assembly.append(b"x" * 100)
            for wanted in (1, 50, 300 * 6, 1 << 40):
                assert size_of_room(assembly, wanted) <= min(wanted, 3 * assembly.size)
        for nothing in (0, -1):
            assert assembly.room(nothing) is None

    def test_more_than_there_is_room_for_is_refused(self, kernel: Any) -> None:
        assembly = assembly_of(kernel, key=KEY)
        assembly.append(b"x" * 1000)
        for count in (0, 1, -1):
            with pytest.raises(ValueError, match="no room"):
                assembly.filled(count)
        size = size_of_room(assembly, 500)
        for count in (size + 1, -1, 1 << 40):
            with pytest.raises(ValueError, match="no room"):
                assembly.filled(count)
        assert assembly.take() == b"x" * 1000

    def test_room_is_filled_once(self, kernel: Any) -> None:
        assembly = assembly_of(kernel, key=KEY)
        assembly.append(b"x" * 1000)
        deliver(assembly, naive_mask(b"hello", KEY), "room")
        with pytest.raises(ValueError, match="no room"):
            assembly.filled(1)
        assert assembly.take() == b"x" * 1000 + b"hello"

    @pytest.mark.parametrize("between", ["add", "append", "take", "clear"])
    def test_what_happens_in_between_takes_the_room(self, kernel: Any, between: str) -> None:
        assembly = assembly_of(kernel)
        assembly.append(b"x" * 1000)
        view = assembly.room(500)
        match between:
            case "add":
                assembly.add(b"yy", 0, 2)
            case "append":
                assembly.append(b"y" * 10000)
            case _:
                getattr(assembly, between)()
        with pytest.raises(ValueError, match="no room"):
            assembly.filled(1)
        # Nobody forces its owner to forget it.
        scribble(view)

    def test_a_view_that_is_kept_keeps_its_memory(self, kernel: Any) -> None:
        views = []
        for number in range(1000):
            assembly = assembly_of(kernel)
            assembly.append(b"x" * 1000)
            views.append(assembly.room(3000))
            if number % 2:
                assembly.append(b"y" * 10000)
                scribble(views[-1])
                assert assembly.take() == b"x" * 1000 + b"y" * 10000
            del assembly
            scribble(views[-1])

    def test_text_is_validated_where_it_lies(self, kernel: Any) -> None:
        for data, told in (("grüße".encode(), True), (b"gr\xfc\xdfe", False)):
            assembly = assembly_of(kernel, True, KEY)
            assembly.append(b"x" * 1000)
            assert deliver(assembly, naive_mask(data, KEY), "room") == told


@both
class TestMemory:
    def test_it_grows_with_what_has_arrived(self, kernel: Any) -> None:
        """Also at its peak, while what there is moves to where there is more room."""
        for first, way in itertools.product((100, 1000, 10000), ("add", "append", "room")):
            for factor in (1, 2, 5):
                pieces = [b"x" * (first * factor**index) for index in range(20 if factor == 1 else 6)]
                assembly = assembly_of(kernel)
                tracemalloc.start()
                try:
                    for piece in pieces:
                        tracemalloc.reset_peak()
                        deliver(assembly, piece, way)
                        assembly.room(1 << 40)
                        # The rest is not of the message: the view, the pieces that went into it.
                        assert tracemalloc.get_traced_memory()[1] <= 5.25 * assembly.size + 1500
                finally:
                    tracemalloc.stop()

    def test_what_is_taken_is_copied_in_python_only(self, kernel: Any) -> None:
        tracemalloc.start()
        try:
            assembly = assembly_of(kernel)
            for size in (1000, 100000, 1000):
                assembly.append(bytes(size))
            tracemalloc.reset_peak()
            message = assembly.take()
            copies = 2 if kernel is KERNELS["Python"] else 1
            assert tracemalloc.get_traced_memory()[1] < (copies + 0.3) * len(message)
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("end", ["take", "clear"])
    def test_nothing_is_kept(self, kernel: Any, end: str) -> None:
        assembly = assembly_of(kernel)
        tracemalloc.start()
        try:
            assembly.append(bytes(100000))
            getattr(assembly, end)()
            assert tracemalloc.get_traced_memory()[0] < 2000
        finally:
            tracemalloc.stop()

    def test_no_message_holds_more_than_itself(self, kernel: Any) -> None:
        tracemalloc.start()
        try:
            kept = []
            for _ in range(100):
                assembly = assembly_of(kernel)
                assembly.append(bytes(1000))
                assembly.append(bytes(1000))
                kept.append(assembly.take())
            assert tracemalloc.get_traced_memory()[0] < 100 * 2200
        finally:
            tracemalloc.stop()
