# The C types with which opening.py is compiled.

cimport cython


@cython.final
cdef class OpeningHandshake:
    cdef bint _complete
    cdef object _external_port
    cdef bint _is_secure
    cdef bint _is_server
    cdef object _options
    cdef object _reader
    cdef public str key
    cdef public tuple protocols
    cdef readonly object request
    cdef readonly bytes rest

    cpdef receive(self, bytes data)
    cdef _read_head(self, bytes data)
