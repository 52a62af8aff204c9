# The C types with which headers.py is compiled.

cimport cython


@cython.final
cdef class Headers:
    cdef tuple _pairs
    cdef dict _repeated
    cdef dict _values

    cpdef get(self, str name, default=*)
    cpdef list get_all(self, str name)
    cpdef list lines(self, str name)
    cpdef tuple items(self)
    cpdef dict joined(self, str separator=*)


cpdef bint is_token(str text) except -1
cpdef bint is_visible(str text) except -1
@cython.locals(value=str, member=str)
cpdef bint has_member(values, str wanted) except -1
