# The C types with which channel.py is compiled.

cimport cython

from autobahnlike.websocket.prepared cimport PreparedMessage
from autobahnlike.websocket.session cimport Session


cdef class Channel:
    cdef public Session _session


@cython.locals(size=Py_ssize_t, sessions=list, session=Session, count=Py_ssize_t)
cpdef send_to_all(channels, PreparedMessage message, left_out)
