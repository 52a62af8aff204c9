"""``direct.py`` with the system calls themselves; there stands what everything means."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "Python.h":
    PyObject *bytes_of_size "PyBytes_FromStringAndSize" (const char *data, Py_ssize_t size)
    int _PyBytes_Resize(PyObject **string, Py_ssize_t size) except -1

cdef extern from "<sys/types.h>" nogil:
    ctypedef Py_ssize_t ssize_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    ssize_t recv(int fd, void *to, size_t size, int flags)
    ssize_t c_send "send" (int fd, const void *data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)

cdef extern from *:
    """
    #include <string.h>
    /* A peer that is gone must not end a process that has given SIGPIPE its default back. */
    #ifdef MSG_NOSIGNAL
    #define DIRECT_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)
    #else
    #define DIRECT_FLAGS MSG_DONTWAIT
    #endif
    """
    int DIRECT_FLAGS
    int EWOULDBLOCK
    int MSG_DONTWAIT
    void *memset(void *to, int value, size_t size)

cdef enum:
    MOST_CHUNKS = 16
    # What is read into the stack, and copied to bytes of the right size: up to here that is cheaper than to shrink them.
    SMALL = 16384

__all__ = ("IS_AVAILABLE", "receive", "receive_into", "send")

IS_AVAILABLE = True


cdef int waits(ssize_t result) except -1:
    """Whether a call has to be repeated: 1 now, 0 when there is something; or raise what is wrong."""
    if errno == EINTR:
        PyErr_CheckSignals()
        return 1
    if errno != EAGAIN and errno != EWOULDBLOCK:
        PyErr_SetFromErrno(OSError)
    return 0


cdef ssize_t receive_to(int fd, void *to, size_t size) except -2:
    cdef ssize_t count
    while True:
        count = recv(fd, to, size, MSG_DONTWAIT)
        if count >= 0 or not waits(count):
            return count


cpdef receive(int fd, Py_ssize_t limit):
    cdef char small[SMALL]
    cdef ssize_t count
    cdef PyObject *large
    if limit <= SMALL:
        count = receive_to(fd, small, limit)
        return None if count < 0 else PyBytes_FromStringAndSize(small, count)
    large = bytes_of_size(NULL, limit)
    if large == NULL:
        raise MemoryError
    try:
        count = receive_to(fd, PyBytes_AS_STRING(<object>large), limit)
        if count < 0:
            return None
        _PyBytes_Resize(&large, count)
        return <object>large
    finally:
        Py_XDECREF(large)


cpdef Py_ssize_t receive_into(int fd, view) except -2:
    cdef Py_buffer buffer
    PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE | PyBUF_WRITABLE)
    try:
        return receive_to(fd, buffer.buf, buffer.len)
    finally:
        PyBuffer_Release(&buffer)


cpdef Py_ssize_t send(int fd, list chunks) except -1:
    cdef Py_buffer buffers[MOST_CHUNKS]
    cdef iovec parts[MOST_CHUNKS]
    cdef msghdr message
    cdef ssize_t count
    cdef int held = 0
    try:
        for chunk in chunks:
            if held == MOST_CHUNKS:
                break
            PyObject_GetBuffer(chunk, &buffers[held], PyBUF_SIMPLE)
            parts[held].iov_base = buffers[held].buf
            parts[held].iov_len = buffers[held].len
            held += 1
        memset(&message, 0, sizeof(message))
        message.msg_iov = parts
        message.msg_iovlen = held
        while True:
            if held == 1:
                count = c_send(fd, parts[0].iov_base, parts[0].iov_len, DIRECT_FLAGS)
            else:
                count = sendmsg(fd, &message, DIRECT_FLAGS)
            if count >= 0:
                return count
            if not waits(count):
                return 0
    finally:
        while held:
            held -= 1
            PyBuffer_Release(&buffers[held])
