# The C types with which connection.py is compiled.

cimport cython

from autobahnlike.wire.delivery cimport ReadAhead
from autobahnlike.wire.keepalive cimport Keepalive
from autobahnlike.wire.messages cimport MessageReader
from autobahnlike.wire.opening cimport OpeningHandshake
from autobahnlike.wire.output cimport OutputQueue


@cython.final
cdef class Connection:
    cdef ReadAhead _ahead
    cdef bint _answering
    cdef Py_ssize_t _answers
    cdef bint _busy
    cdef bint _congested
    cdef object _deadline
    cdef object _disconnect
    cdef bint _dropped
    cdef Py_ssize_t _fragment_size
    cdef object _handler
    cdef Py_ssize_t _high_water
    cdef bint _initiated
    cdef Keepalive _keepalive
    cdef Py_ssize_t _max_message
    cdef Py_ssize_t _max_queue
    cdef double _now
    cdef object _on_deadline
    cdef OpeningHandshake _opening
    cdef MessageReader _reader
    cdef bint _received_close
    cdef bint _reported
    cdef object _seeker
    cdef Py_ssize_t _size_seen
    cdef public bint auto_pong
    cdef readonly object close_code
    cdef readonly object close_reason
    cdef readonly object codec
    cdef readonly object failure
    cdef readonly long long handshake_octets_received
    cdef readonly long long handshake_octets_sent
    cdef readonly bint is_server
    cdef readonly long long octets_received
    cdef readonly long long octets_sent
    cdef readonly object options
    cdef readonly OutputQueue output
    cdef readonly MessageReader reader
    cdef public bint report_pongs
    cdef readonly object sent_close_code
    cdef readonly object sent_close_reason
    cdef readonly object state

    cdef _move(self, what)
    cpdef bint is_steady(self)
    @cython.locals(size=Py_ssize_t)
    cpdef list data_to_send(self, Py_ssize_t limit=*)
    cpdef next_deadline(self)
    @cython.locals(reader=MessageReader)
    cpdef receive_data(self, bytes data, double now)
    cdef _received(self, Py_ssize_t count, double now)
    cpdef room(self)
    cpdef received_in_place(self, Py_ssize_t count, double now)
    cpdef connection_lost(self, double now, why=*)
    cpdef accept(self, bytes response, codec=*)
    cdef _receive_handshake(self, OpeningHandshake opening, bytes data)
    cdef _send_handshake(self, bytes data)
    cdef _open(self, codec)
    cpdef resume_delivery(self, double now)
    @cython.locals(reader=MessageReader)
    cdef _deliver(self)
    cdef bint _is_stuck(self)
    cdef bint _may_go_on(self, MessageReader reader)
    @cython.locals(reader=MessageReader)
    cdef _read(self, bytes data, Py_ssize_t count=*)
    cdef _report(self)
    cdef _abandon_reader(self)
    cpdef _control_received(self, int opcode, bytes payload)
    cpdef _close_frame(self, bytes payload)
    cpdef _close_received(self, bytes payload)
    cdef _end(self, bint initiated)
    cdef _send_close(self, code, reason)
    cdef _finish(self, disconnect)
    cdef _set_deadline(self, double timeout, overdue)
    cpdef _keep_message(self, bytes payload, bint is_binary)
    @cython.locals(output=OutputQueue)
    cpdef send_message(self, bytes payload, bint is_binary, bint compress=*, fragment_size=*)
    @cython.locals(output=OutputQueue)
    cpdef send_prepared(self, bytes frame, Py_ssize_t size)
    cdef _cannot_send(self, Py_ssize_t length)
    @cython.locals(size=Py_ssize_t)
    cdef _announce_output(self)
