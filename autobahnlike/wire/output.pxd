# The C types with which output.py is compiled.

cimport cython

from autobahnlike.wire.kernel cimport put_frame, put_header

cdef int BINARY, CONTINUATION, FIN, RSV1, TEXT
cdef Py_ssize_t _COPY


@cython.final
cdef class OutputQueue:
    cdef bint _apply_mask
    cdef object _chunks
    cdef bint _is_plain
    cdef object _masks
    cdef object _on_frame
    cdef bytearray _tail
    cdef readonly Py_ssize_t size
    cdef readonly long long frames
    cdef readonly long long messages
    cdef readonly long long payload_octets
    cdef readonly long long message_octets

    cpdef add(self, bytes data)
    @cython.locals(first_byte=int, length=Py_ssize_t, start=Py_ssize_t, last=Py_ssize_t)
    cpdef add_message(self, bytes payload, bint is_binary, codec, Py_ssize_t fragment_size)
    cpdef add_prepared(self, bytes frame, Py_ssize_t size)
    cpdef add_control(self, int opcode, bytes payload)
    cpdef add_data(self, int first_byte, bytes payload)
    @cython.locals(length=Py_ssize_t, before=Py_ssize_t, tail=bytearray, key=bytes)
    cdef _add_frame(self, int first_byte, bytes payload)
    cdef _append(self, chunk)
    cpdef list take(self, Py_ssize_t limit)
    cpdef clear(self)
