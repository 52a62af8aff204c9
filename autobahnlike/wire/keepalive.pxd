# The C types with which keepalive.py is compiled.

cimport cython


@cython.final
cdef class Keepalive:
    cdef bint _any_traffic
    cdef double _heard
    cdef double _interval
    cdef object _payload
    cdef object _random_bytes
    cdef double _sent
    cdef Py_ssize_t _size
    cdef bint _suspended
    cdef double _timeout
    cdef readonly object deadline
    cdef readonly object rtt

    cpdef start(self, double now)
    cpdef stop(self)
    cpdef heard(self, double now)
    cpdef ping(self, double now)
    cpdef pong(self, payload, double now)
    cpdef suspend(self)
    cpdef resume(self, double now)
    cpdef due(self, double now)
    cdef _rest(self, double now)
