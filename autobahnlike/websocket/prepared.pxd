# The C types with which prepared.py is compiled.

cdef class PreparedMessage:
    cdef readonly bytes payload
    cdef readonly bint isBinary
    cdef readonly bint doNotCompress
    cdef bytes _frame
    cdef dict _compressed

    cpdef bytes frame_for(self, codec)
    cdef bytes _build(self, int flags, bytes payload)
