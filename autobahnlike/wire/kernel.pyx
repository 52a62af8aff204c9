"""``kernel.py``, by C; there stands what everything means."""

from cpython.buffer cimport PyBUF_CONTIG_RO, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromObject
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_1BYTE_KIND, PyUnicode_FromKindAndData
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **string, Py_ssize_t size) except -1
    # That of cpython.ref takes an object, which is one reference more.
    Py_ssize_t references "Py_REFCNT" (PyObject *object)

cdef extern from "kernel.h" nogil:
    void kernel_mask(uint8_t *to, const uint8_t *data, size_t size, const uint8_t *key)
    size_t kernel_header_size(uint64_t length)
    uint8_t *kernel_header(uint8_t *to, uint8_t first, uint8_t mask_bit, uint64_t length)
    uint8_t kernel_utf8(uint8_t before, const uint8_t *data, size_t size)
    enum:
        UTF8_BAD
        UTF8_WHOLE

from autobahnlike.wire.headers import OPTIONAL_WHITESPACE, TEXT_BYTES, TOKEN_BYTES

__all__ = ("Assembly", "apply_mask", "is_utf8", "put_frame", "put_header", "read_fields", "unmask")

# The least memory for a message that arrives in pieces, and by how much it grows.
cdef enum:
    LEAST = 512
    GROWTH = 4


cdef extern from *:
    """
    #define kernel_allocated(array) (((PyByteArrayObject *)(array))->ob_alloc)
    """
    Py_ssize_t kernel_allocated(object array)

# Up to this size, what is to be written grows as any bytearray does.
cdef enum:
    ALLOWANCE = 128


cdef inline uint8_t *start_of(bytes data) noexcept:
    return <uint8_t *>PyBytes_AS_STRING(data)


# "bytes" is bytes or None for Cython, and None has no bytes to look at.
cdef int check_bytes(bytes data) except -1:
    if data is None:
        raise TypeError("None is not bytes")
    return 0


cdef int check_range(bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
    check_bytes(data)
    if not 0 <= start <= end <= PyBytes_GET_SIZE(data):
        raise IndexError(f"no bytes {start} to {end} in {PyBytes_GET_SIZE(data)}")
    return 0


cdef int check_key(bytes key) except -1:
    check_bytes(key)
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError("a masking key has four bytes")
    return 0


cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t end):
    check_range(data, start, end)
    if start < 4:
        raise IndexError("there is no masking key in front")
    cdef uint8_t *first = start_of(data) + start
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, end - start)
    kernel_mask(start_of(payload), first, end - start, first - 4)
    return payload


# What a byte in a header line may be
cdef enum:
    TOKEN = 1
    TEXT = 2
    BLANK = 4

cdef uint8_t kinds[256]


cdef add_kind(bytes members, uint8_t kind):
    cdef uint8_t byte
    for byte in members:
        kinds[byte] |= kind


add_kind(TOKEN_BYTES, TOKEN)
add_kind(TEXT_BYTES, TEXT)
add_kind(OPTIONAL_WHITESPACE.encode("ascii"), BLANK)


cdef inline const uint8_t *past(const uint8_t *at, const uint8_t *end, uint8_t kind) noexcept:
    while at < end and kinds[at[0]] & kind:
        at += 1
    return at


cdef inline str text(const uint8_t *start, const uint8_t *end):
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, start, end - start)


cpdef list read_fields(bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t max_line, Py_ssize_t max_fields):
    check_range(data, start, end)
    cdef const uint8_t *line = start_of(data) + start
    cdef const uint8_t *stop = start_of(data) + end
    cdef const uint8_t *colon
    cdef const uint8_t *value
    cdef const uint8_t *line_end
    cdef const uint8_t *value_end
    cdef list fields = []
    while True:
        colon = past(line, stop, TOKEN)
        if colon == line or colon == stop or colon[0] != c":":
            return None
        line_end = past(colon + 1, stop, TEXT)
        if line_end - line > max_line or len(fields) >= max_fields:
            return None
        value = past(colon + 1, line_end, BLANK)
        value_end = line_end
        while value_end > value and kinds[(value_end - 1)[0]] & BLANK:
            value_end -= 1
        fields.append((text(line, colon), text(value, value_end)))
        if line_end == stop:
            return fields
        if stop - line_end < 2 or line_end[0] != c"\r" or line_end[1] != c"\n":
            return None
        line = line_end + 2


def apply_mask(data, bytes key):
    check_key(key)
    cdef Py_buffer view
    cdef bytes masked
    PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO)
    try:
        masked = PyBytes_FromStringAndSize(NULL, view.len)
        kernel_mask(start_of(masked), <uint8_t *>view.buf, view.len, start_of(key))
    finally:
        PyBuffer_Release(&view)
    return masked


cpdef bint is_utf8(data) except -1:
    cdef Py_buffer view
    if type(data) is bytes:
        return kernel_utf8(UTF8_WHOLE, start_of(data), PyBytes_GET_SIZE(data)) == UTF8_WHOLE
    PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO)
    try:
        return kernel_utf8(UTF8_WHOLE, <uint8_t *>view.buf, view.len) == UTF8_WHOLE
    finally:
        PyBuffer_Release(&view)


cdef uint8_t *add_header(bytearray out, int first_byte, Py_ssize_t length, Py_ssize_t payload, bytes key) except NULL:
    """Make room for a frame of which ``payload`` bytes will follow, write its header, and return where it ends."""
    cdef Py_ssize_t before, needed
    cdef size_t size = kernel_header_size(length)
    cdef uint8_t *to
    if out is None:
        raise TypeError("None is not a bytearray")
    if not 0 <= first_byte <= 255:
        raise ValueError(f"{first_byte} is not a byte")
    if key is not None:
        check_key(key)
        size += 4
    before = PyByteArray_GET_SIZE(out)
    needed = before + <Py_ssize_t>size + payload
    if needed > ALLOWANCE and needed >= kernel_allocated(out):
        # By half, and not by the eighth by which it grows of itself; more than that would be given back at once.
        PyByteArray_Resize(out, needed + needed // 2)
    PyByteArray_Resize(out, needed)
    to = <uint8_t *>PyByteArray_AS_STRING(out) + before
    if key is None:
        return kernel_header(to, <uint8_t>first_byte, 0, length)
    to = kernel_header(to, <uint8_t>first_byte, 0x80, length)
    memcpy(to, start_of(key), 4)
    return to + 4


cpdef int put_frame(bytearray out, int first_byte, bytes payload, bytes key) except -1:
    check_bytes(payload)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef uint8_t *to = add_header(out, first_byte, size, size, key)
    if key is None:
        memcpy(to, start_of(payload), size)
    else:
        kernel_mask(to, start_of(payload), size, start_of(key))
    return 0


cpdef int put_header(bytearray out, int first_byte, Py_ssize_t length, bytes key) except -1:
    if length < 0:
        raise ValueError("a length is not negative")
    add_header(out, first_byte, length, 0, key)
    return 0


cdef class Loan:
    """Memory of a message while it is received into; a view of it keeps it, whatever becomes of the message."""

    cdef bytes _owner
    cdef uint8_t *_first
    cdef Py_ssize_t _size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._first, self._size, 0, flags)


cdef class Assembly:
    def __dealloc__(self):
        Py_XDECREF(self._buffer)

    cdef uint8_t *_end(self) noexcept:
        """Where the next byte goes."""
        return <uint8_t *>PyBytes_AS_STRING(<object>self._buffer) + self.size

    cdef int _reserve(self, Py_ssize_t capacity) except -1:
        if capacity == self._capacity:
            return 0
        if self._buffer != NULL and references(self._buffer) == 1:
            try:
                _PyBytes_Resize(&self._buffer, capacity)
            except MemoryError:
                self.size = self._capacity = 0
                raise
        else:
            # There is none, or somebody still has a view of it.
            larger = PyBytes_FromStringAndSize(NULL, capacity)
            if self._buffer != NULL:
                memcpy(start_of(larger), PyBytes_AS_STRING(<object>self._buffer), self.size)
            Py_INCREF(larger)
            Py_XDECREF(self._buffer)
            self._buffer = <PyObject *>larger
        self._capacity = capacity
        return 0

    cdef int _make_room(self, Py_ssize_t count) except -1:
        # What was lent is where these bytes go.
        self._lent = 0
        if self._buffer == NULL or self.size + count > self._capacity:
            self._reserve(max(self.size + count, min(GROWTH * self.size, self.size + GROWTH * count), LEAST))
        return 0

    cdef void _rotate(self, Py_ssize_t count) noexcept:
        cdef uint8_t old[4]
        cdef int i
        if count & 3:
            memcpy(old, self._key, 4)
            for i in range(4):
                self._key[i] = old[(i + count) & 3]

    cdef bint _accept(self, Py_ssize_t count) noexcept:
        """Count bytes that are in their place, unmasked; tell whether they may follow in a text."""
        if self._is_text:
            self._utf8 = kernel_utf8(self._utf8, self._end(), count)
        self.size += count
        return self._utf8 != UTF8_BAD or not self._is_text

    cpdef begin_message(self, bint is_text):
        self._is_text = is_text
        self._utf8 = UTF8_WHOLE

    cpdef begin_frame(self, bytes key):
        if key is not None:
            check_key(key)
            memcpy(self._key, start_of(key), 4)
        self._is_masked = key is not None

    cpdef bytes unmask(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        check_range(data, start, end)
        if not self._is_masked:
            return data[start:end]
        cdef bytes plain = PyBytes_FromStringAndSize(NULL, end - start)
        kernel_mask(start_of(plain), start_of(data) + start, end - start, self._key)
        self._rotate(end - start)
        return plain

    cpdef bint add(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
        check_range(data, start, end)
        cdef Py_ssize_t count = end - start
        self._make_room(count)
        if self._is_masked:
            kernel_mask(self._end(), start_of(data) + start, count, self._key)
            self._rotate(count)
        else:
            memcpy(self._end(), start_of(data) + start, count)
        return self._accept(count)

    cpdef bint append(self, bytes data) except -1:
        check_bytes(data)
        cdef Py_ssize_t count = PyBytes_GET_SIZE(data)
        self._make_room(count)
        memcpy(self._end(), start_of(data), count)
        return self._accept(count)

    cpdef room(self, Py_ssize_t wanted):
        if wanted <= 0 or self.size == 0:
            return None
        cdef Py_ssize_t count = min(wanted, (GROWTH - 1) * self.size)
        cdef Py_ssize_t left = self._capacity - self.size
        if left >= count or left >= self.size // GROWTH:
            # Not moved for each piece of what arrives slowly.
            count = min(count, left)
        else:
            self._reserve(self.size + count)
        self._lent = count
        cdef Loan loan = Loan.__new__(Loan)
        loan._owner = <bytes>self._buffer
        loan._first = self._end()
        loan._size = count
        return PyMemoryView_FromObject(loan)

    cpdef bint filled(self, Py_ssize_t count) except -1:
        if self._lent == 0 or not 0 <= count <= self._lent:
            raise ValueError("there was no room for that")
        self._lent = 0
        if self._is_masked:
            kernel_mask(self._end(), self._end(), count, self._key)
            self._rotate(count)
        return self._accept(count)

    cpdef bint complete(self):
        return self._utf8 == UTF8_WHOLE or not self._is_text

    cpdef bytes take(self):
        if self.size == 0:
            self.clear()
            return b""
        self._reserve(self.size)
        cdef bytes message = <bytes>self._buffer
        self.clear()
        return message

    cpdef clear(self):
        Py_XDECREF(self._buffer)
        self._buffer = NULL
        self.size = self._capacity = self._lent = 0
