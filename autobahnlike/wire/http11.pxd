# The C types with which http11.py is compiled.

cimport cython

from autobahnlike.wire.headers cimport Headers, is_visible
from autobahnlike.wire.kernel cimport read_fields


@cython.locals(end=Py_ssize_t, first_end=Py_ssize_t, max_line=Py_ssize_t, first=bytes, target=str)
cpdef tuple read_whole_request(bytes data, Py_ssize_t max_size, Py_ssize_t max_headers)
