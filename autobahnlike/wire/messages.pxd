# The C types with which messages.py is compiled.

cimport cython

from autobahnlike.wire.kernel cimport Assembly, is_utf8, unmask

cdef int BINARY, CLOSE, CONTINUATION, FIN, MAX_CONTROL_PAYLOAD, PONG, RSV1, TEXT
cdef long long _ENDLESS, _MAX_LENGTH, _UNLIMITED
cdef Py_ssize_t _IN_PLACE


@cython.final
cdef class MessageReader:
    cdef object _codec
    cdef object _on_control
    cdef object _on_frame
    cdef bint _apply_mask
    cdef bint _validate
    cdef long long _max_message
    cdef long long _max_frame
    cdef long long _max_whole
    cdef long long _max_compressed
    cdef long long _max_fragments
    cdef int _mask_rule
    cdef bytes _data
    cdef Py_ssize_t _position
    cdef bint _fin
    cdef long long _left
    cdef int _opcode
    cdef bint _compressed
    cdef Assembly _assembly
    cdef long long _wire_length
    cdef long long _fragments
    cdef long long _turn_bytes
    cdef object _skip
    cdef public object on_message
    cdef public bint halted
    cdef public bint yielded
    cdef long long _whole
    cdef long long _whole_octets
    cdef long long _messages
    cdef long long _frames
    cdef long long _payload_octets
    cdef long long _message_octets

    cpdef feed(self, bytes data)
    @cython.locals(left="long long")
    cpdef room(self)
    cpdef filled(self, Py_ssize_t count)
    cpdef proceed(self)
    cpdef abandon(self)
    @cython.locals(
        data=bytes, size=Py_ssize_t, position=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t,
        first_byte="unsigned char", second_byte="unsigned char", length="long long", marker=int, masked=bint, payload=bytes,
        mask_rule=int, max_whole="long long", frames_left=long,
    )
    cdef _parse(self)
    cdef object _long_length(self, int marker, bytes data, Py_ssize_t position)
    cdef _check_header(self, int first_byte, long long length, bint masked, Py_ssize_t start)
    cdef _check_control(self, int first_byte, long long length)
    @cython.locals(opcode=int, limit="long long")
    cdef _check_data(self, int first_byte, long long length)
    cdef _begin_frame(self, int first_byte, long long length, bytes key)
    cdef _frame_data(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(payload=bytes, is_binary=bint)
    cdef _piece_added(self, bint valid)
    cdef _failed_within(self, error)
    @cython.locals(limit="long long")
    cdef bint _inflate(self, bytes data) except -1

