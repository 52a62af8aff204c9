cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bint is_utf8(data) except -1
cpdef list read_fields(bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t max_line, Py_ssize_t max_fields)
cpdef int put_frame(bytearray out, int first_byte, bytes payload, bytes key) except -1
cpdef int put_header(bytearray out, int first_byte, Py_ssize_t length, bytes key) except -1


@cython.final
cdef class Assembly:
    cdef PyObject *_buffer
    cdef Py_ssize_t _capacity
    cdef readonly Py_ssize_t size
    cdef uint8_t _key[4]
    cdef bint _is_masked
    cdef bint _is_text
    cdef uint8_t _utf8
    cdef Py_ssize_t _lent

    cdef uint8_t *_end(self) noexcept
    cdef int _reserve(self, Py_ssize_t capacity) except -1
    cdef int _make_room(self, Py_ssize_t count) except -1
    cdef bint _accept(self, Py_ssize_t count) noexcept
    cdef void _rotate(self, Py_ssize_t count) noexcept
    cpdef begin_message(self, bint is_text)
    cpdef begin_frame(self, bytes key)
    cpdef bytes unmask(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cpdef bint add(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef bint append(self, bytes data) except -1
    cpdef room(self, Py_ssize_t wanted)
    cpdef bint filled(self, Py_ssize_t count) except -1
    cpdef bint complete(self)
    cpdef bytes take(self)
    cpdef clear(self)
