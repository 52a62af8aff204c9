# The C types with which session.py is compiled.

cimport cython

from autobahnlike.websocket.direct cimport receive, receive_into, send
from autobahnlike.websocket.prepared cimport PreparedMessage
from autobahnlike.wire.connection cimport Connection


cdef class Session


@cython.final
cdef class Batch:
    cdef public Py_ssize_t depth
    cdef public object sessions

    @cython.locals(session=Session)
    cpdef flush(self)


cdef class Session:
    cdef readonly object protocol
    cdef readonly object link
    cdef readonly object loop
    cdef readonly object options
    cdef readonly Connection connection
    cdef int _fd
    cdef int _cold_for
    cdef Batch _batch
    cdef object _now
    cdef object _opening
    cdef bint _log_octets
    cdef Py_ssize_t _read_size
    cdef bint _waits
    cdef bint _reading
    cdef bint _writable
    cdef object _timer
    cdef double _timer_at
    cdef object _turn
    cdef object _disconnect
    cdef object _cancel_hook
    cdef object _hook
    cdef object _hook_seen
    cdef double _hook_seen_at
    cdef bint _has_warned
    cdef list _drain_waiters
    cdef bint _lost
    cdef object _traffic
    cdef dict __dict__

    cpdef _external_port(self)
    cpdef data_received(self, data)
    cdef _warm_up(self)
    cpdef readable(self)
    @cython.locals(reads_left=int, total=Py_ssize_t, limit=Py_ssize_t, room=Py_ssize_t, count=Py_ssize_t, is_full=bint)
    cdef bint _receive(self) except -1
    cdef _received_in_place(self, Py_ssize_t count)
    cdef bint _begin(self)
    @cython.locals(batch=Batch)
    cdef _end(self, bint waited)
    cpdef pump(self)
    cdef _due(self)
    @cython.locals(connection=Connection)
    cdef _pump(self)
    @cython.locals(connection=Connection)
    cdef _follow(self)
    @cython.locals(connection=Connection, is_direct=bint, waiting=Py_ssize_t, chunks=list)
    cdef _write(self)
    @cython.locals(sent=Py_ssize_t)
    cdef bint _send(self, list chunks, Py_ssize_t size) except -1
    cdef _obey(self, disconnect)
    @cython.locals(at=double)
    cdef _arm_timer(self)
    cdef _cancel_timers(self)
    cdef _fail_drain_waiters(self)
    cdef _give_up_hook(self)
    cpdef _run_hook(self, str name, tuple arguments, done, failed)
    cpdef _resume(self, _=*)
    cpdef _opened(self, _=*)
    cpdef _open_done(self, _)
    @cython.locals(connection=Connection)
    cdef send_prepared(self, PreparedMessage message)
    cpdef on_message(self, payload, bint is_binary)
    cpdef on_output(self)
