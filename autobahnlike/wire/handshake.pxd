# The C types with which handshake.py is compiled.

from autobahnlike.wire.headers cimport Headers

cpdef str accept_key(str key)
cdef _check_request_line(request)
cdef _check_no_body(Headers headers)
cdef tuple _split_target(str target)
cdef tuple _read_host(Headers headers, authority)
cdef _check_upgrade(Headers headers)
cdef _read_version(Headers headers, supported)
cdef str _read_key(Headers headers)
cdef str _read_origin(Headers headers, version, options)
cdef list _read_protocols(Headers headers)
cdef list _read_extensions(Headers headers)
cdef bint _has(pairs, str wanted) except -1
