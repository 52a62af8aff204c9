# The C types with which delivery.py is compiled.

cimport cython


@cython.final
cdef class ReadAhead:
    cdef object _calls
    cdef readonly Py_ssize_t size

    cpdef add(self, Py_ssize_t size, call, tuple arguments)
    cpdef call_next(self)
