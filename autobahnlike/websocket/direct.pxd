cpdef receive(int fd, Py_ssize_t limit)
cpdef Py_ssize_t receive_into(int fd, view) except -2
cpdef Py_ssize_t send(int fd, list chunks) except -1
