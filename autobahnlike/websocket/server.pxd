# The C types with which server.py is compiled.

from autobahnlike.websocket.session cimport Session


cdef class ServerSession(Session):
    cdef _note_request(self, opening)
    cpdef _accept(self, result)
    cdef tuple _read_result(self, result)
