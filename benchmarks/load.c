/* A WebSocket client for many connections that costs less than any server it loads: one thread, one epoll.
 *
 *   load echo       every message comes back; --window messages are under way on each connection
 *   load broadcast  the first connection sends, and every connection receives; --window broadcasts are under way
 *   load handshakes open, read the 101, do the closing handshake, again; --connections at a time
 *   load idle       open, exchange --messages messages on each connection, say so, stay until stdin ends
 *
 * What is sent is built once, before anything is measured, and sent over and over again: masking costs nothing while
 * the clock runs. Lengths are checked always; contents until the warm-up is over, and again at the end.
 * One line of JSON on stdout says what was measured, times in seconds. Anything unexpected is said on stderr, and the
 * exit status is 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define HEAD_SIZE 4096
/* A batch of small messages is built up to this size, so that one system call can send a whole window. */
#define BATCH_SIZE (128 * 1024)
/* Nothing at all happened for so long: the server hangs. */
#define PATIENCE 10.0
#define PIECES 8
/* Microseconds until every connection that was opened takes part. */
#define SETTLING 200000

enum { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum mode { ECHO, BROADCAST, HANDSHAKES, IDLE };
enum phase { WARM_UP, MEASURE, DRAIN, DONE };

static struct {
    enum mode mode;
    int port, connections, window, pid;
    double warm_up, seconds;
    uint64_t messages, fragment;
    bool text, deflate, no_takeover, raw;
    const char *payload, *answers;
} options = {.connections = 1, .window = 1, .warm_up = 0.2, .seconds = 1};

/* The bytes of a connection: messages [0, prologue) once, then messages [prologue, prologue + cycle) for ever. */
static struct {
    uint8_t *bytes;
    uint64_t *ends;
    uint64_t prologue, cycle, prologue_size, cycle_size;
    uint8_t *payload;
    uint64_t size;
} stream;

struct connection {
    int fd;
    bool waits_to_write;
    uint64_t granted, sent, received;
    uint8_t head[10];
    unsigned have;
    uint8_t opcode;
    bool fin, in_message;
    uint64_t left, at;
    uint8_t control[125];
    unsigned control_size, pong_size;
    uint8_t pong[131];
    uint64_t *sent_at;
    char *reply;
    unsigned reply_size;
    uint64_t opened_at;
};

static struct connection *connections;
static uint32_t *remaining;
static int poller;
static enum phase phase;
static uint64_t now, completed, measured, last_progress;
static FILE *answers;
static int answers_left = 64;

/* Latencies: 32 buckets for each power of two of nanoseconds, so that none is wider than 3 %. */
#define FINE 5
static uint64_t histogram[64 << FINE], samples, slowest;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *make(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        fail("out of memory");
    return memory;
}

static uint64_t clock_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* -- Latency */

static void sample(uint64_t duration) {
    unsigned shift = duration >> FINE ? 64 - FINE - 1 - (unsigned)__builtin_clzll(duration) : 0;
    histogram[((uint64_t)shift << FINE) + (duration >> shift)]++;
    samples++;
    if (duration > slowest)
        slowest = duration;
}

static double percentile(double share) {
    uint64_t wanted = (uint64_t)((double)samples * share), seen = 0;
    for (unsigned bucket = 0; bucket < sizeof histogram / sizeof *histogram; bucket++) {
        seen += histogram[bucket];
        if (seen > wanted) {
            unsigned shift = bucket >> FINE ? (bucket >> FINE) - 1 : 0;
            return ((double)(bucket - (shift << FINE)) + 0.5) * (double)(1ull << shift) * 1e-9;
        }
    }
    return (double)slowest * 1e-9;
}

/* -- CPU time */

/* User and system time of the server, exact to a tick of the kernel. */
static double server_cpu(void) {
    clockid_t clock;
    struct timespec time = {0};
    if (options.pid && (clock_getcpuclockid(options.pid, &clock) || clock_gettime(clock, &time)))
        fail("the server is gone");
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double own_cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* -- What is sent */

static uint64_t write_frame(uint8_t *to, uint8_t first, const uint8_t *payload, uint64_t size) {
    static uint32_t state = 2463534242u;
    uint8_t *start = to;
    *to++ = first;
    if (size < 126) {
        *to++ = 0x80 | (uint8_t)size;
    } else {
        unsigned width = size < 65536 ? 2 : 8;
        *to++ = 0x80 | (width == 2 ? 126 : 127);
        while (width--)
            *to++ = (uint8_t)(size >> (8 * width));
    }
    uint8_t mask[4];
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    memcpy(mask, &state, 4);
    memcpy(to, mask, 4);
    to += 4;
    for (uint64_t i = 0; i < size; i++)
        *to++ = payload[i] ^ mask[i & 3];
    return (uint64_t)(to - start);
}

static uint64_t write_message(uint8_t *to, const uint8_t *payload, uint64_t size) {
    uint8_t *start = to;
    uint64_t piece = options.fragment ? options.fragment : size, at = 0;
    uint8_t opcode = options.text ? OP_TEXT : OP_BINARY;
    do {
        uint64_t length = size - at < piece ? size - at : piece;
        uint8_t first = (at + length == size ? 0x80 : 0) | (at ? OP_CONTINUATION : opcode);
        if (options.deflate && !at)
            first |= 0x40;
        to += write_frame(to, first, payload + at, length);
        at += length;
    } while (at < size);
    return (uint64_t)(to - start);
}

static uint64_t room_for(uint64_t size) { return size + 14 * (options.fragment ? size / options.fragment + 2 : 1); }

static uint8_t *read_file(const char *path, uint64_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    *size = (uint64_t)ftell(file);
    rewind(file);
    uint8_t *bytes = make(*size, 1);
    if (fread(bytes, 1, *size, file) != *size)
        fail("%s: cannot be read", path);
    fclose(file);
    return bytes;
}

static void prepare_plain(void) {
    stream.cycle = BATCH_SIZE / room_for(stream.size);
    if (stream.cycle > (uint64_t)options.window)
        stream.cycle = (uint64_t)options.window;
    if (!stream.cycle)
        stream.cycle = 1;
    stream.bytes = make(stream.cycle, room_for(stream.size));
    stream.ends = make(stream.cycle, sizeof *stream.ends);
    for (uint64_t i = 0; i < stream.cycle; i++)
        stream.ends[i] = stream.cycle_size += write_message(stream.bytes + stream.cycle_size, stream.payload, stream.size);
}

/* The file: how many messages there are once, how many again and again, then each as its length and its bytes; all
 * numbers of four bytes, big-endian. */
static uint64_t number_at(const uint8_t *bytes) {
    uint32_t number;
    memcpy(&number, bytes, 4);
    return ntohl(number);
}

static void prepare_compressed(void) {
    if (stream.size < 8)
        fail("no compressed messages");
    stream.prologue = number_at(stream.payload);
    stream.cycle = number_at(stream.payload + 4);
    uint64_t count = stream.prologue + stream.cycle, at = 8, end = 0;
    stream.bytes = make(room_for(stream.size) + 14 * count, 1);
    stream.ends = make(count, sizeof *stream.ends);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size = at + 4 <= stream.size ? number_at(stream.payload + at) : 0;
        if (!size || at + 4 + size > stream.size)
            fail("the compressed messages are cut off");
        end += write_message(stream.bytes + end, stream.payload + at + 4, size);
        stream.ends[i] = end;
        at += 4 + size;
    }
    stream.prologue_size = stream.prologue ? stream.ends[stream.prologue - 1] : 0;
    stream.cycle_size = end - stream.prologue_size;
}

/* Where the first so many messages end. */
static uint64_t stream_end(uint64_t messages) {
    if (!messages)
        return 0;
    if (messages <= stream.prologue)
        return stream.ends[messages - 1];
    uint64_t index = messages - 1 - stream.prologue;
    return stream.ends[stream.prologue + index % stream.cycle] + index / stream.cycle * stream.cycle_size;
}

static uint8_t *stream_at(uint64_t position, uint64_t *size) {
    if (position < stream.prologue_size) {
        *size = stream.prologue_size - position;
        return stream.bytes + position;
    }
    uint64_t offset = (position - stream.prologue_size) % stream.cycle_size;
    *size = stream.cycle_size - offset;
    return stream.bytes + stream.prologue_size + offset;
}

/* -- Writing */

static void watch(struct connection *connection, bool writable) {
    if (connection->waits_to_write == writable)
        return;
    connection->waits_to_write = writable;
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0u), .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event);
}

static bool would_block(ssize_t done, const char *what) {
    if (done >= 0)
        return false;
    if (errno != EAGAIN && errno != EINTR)
        fail("%s: %s", what, strerror(errno));
    return true;
}

/* A pong goes between two messages, and is short enough to be taken whole or not at all. */
static bool send_pong(struct connection *connection) {
    ssize_t done = send(connection->fd, connection->pong, connection->pong_size, MSG_NOSIGNAL);
    if (would_block(done, "sending a pong"))
        return false;
    if ((unsigned)done != connection->pong_size)
        fail("half a pong was taken");
    connection->pong_size = 0;
    return true;
}

static void flush(struct connection *connection, uint64_t before) {
    uint64_t end = stream_end(connection->granted);
    if (connection->pong_size && connection->sent == stream_end(before) && !send_pong(connection)) {
        watch(connection, true);
        return;
    }
    while (connection->sent < end) {
        struct iovec pieces[PIECES];
        int count = 0;
        for (uint64_t at = connection->sent; at < end && count < PIECES; count++) {
            uint64_t size;
            pieces[count].iov_base = stream_at(at, &size);
            pieces[count].iov_len = size < end - at ? size : end - at;
            at += pieces[count].iov_len;
        }
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
        ssize_t done = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
        if (would_block(done, "sending")) {
            watch(connection, true);
            return;
        }
        connection->sent += (uint64_t)done;
    }
    watch(connection, connection->pong_size > 0);
}

static void grant(struct connection *connection, uint64_t messages) {
    uint64_t before = connection->granted;
    for (uint64_t i = 0; i < messages; i++)
        connection->sent_at[connection->granted++ % (uint64_t)options.window] = now;
    flush(connection, before);
}

/* -- Reading */

/* One message is complete on a connection: returns how many more may be sent on it. */
static unsigned on_message(struct connection *connection) {
    uint64_t index = connection->received++ % (uint64_t)options.window;
    struct connection *sender = options.mode == BROADCAST ? connections : connection;
    if (connection->received > sender->granted)
        fail("a message more than were sent");
    if (phase == MEASURE)
        sample(now - sender->sent_at[index]);
    if (options.mode == BROADCAST && --remaining[index])
        return 0;
    remaining[index] = (uint32_t)options.connections;
    completed++;
    if (options.mode == IDLE || phase == DRAIN)
        return 0;
    if (sender == connection)
        return 1;
    grant(sender, 1);
    return 0;
}

/* The file: for each frame its first byte, its length in eight bytes, and its payload. */
static void keep_head(uint8_t first, uint64_t size) {
    if (!answers || !answers_left)
        return;
    fputc(first, answers);
    for (int i = 7; i >= 0; i--)
        fputc((int)(size >> (8 * i) & 0xff), answers);
}

static void on_control(struct connection *connection) {
    unsigned size = connection->control_size;
    if (connection->opcode == OP_CLOSE)
        fail("the server closes with %d: %.*s", size > 1 ? connection->control[0] << 8 | connection->control[1] : 0,
             size > 2 ? (int)size - 2 : 0, connection->control + 2);
    if (connection->opcode == OP_PING)
        connection->pong_size = (unsigned)write_frame(connection->pong, 0x80 | OP_PONG, connection->control, size);
}

/* Takes a header if it is complete. */
static bool on_head(struct connection *connection) {
    const uint8_t *head = connection->head;
    unsigned code = head[1] & 0x7f, width = code == 126 ? 2 : code == 127 ? 8 : 0;
    if (connection->have < 2 || connection->have < 2 + width)
        return false;
    if (head[1] & 0x80)
        fail("a masked frame");
    if (head[0] & 0x30 || (head[0] & 0x40 && !options.deflate))
        fail("reserved bits are set: %02x", head[0]);
    uint64_t size = width ? 0 : code;
    for (unsigned i = 0; i < width; i++)
        size = size << 8 | head[2 + i];
    connection->opcode = head[0] & 15;
    connection->fin = head[0] & 0x80;
    connection->left = size;
    connection->have = 0;
    if (connection->opcode >= OP_CLOSE) {
        if (size > 125 || !connection->fin)
            fail("a control frame that is none");
        connection->control_size = 0;
        return true;
    }
    uint8_t expected = connection->in_message ? OP_CONTINUATION : options.text ? OP_TEXT : OP_BINARY;
    if (connection->opcode != expected)
        fail("opcode %d instead of %d", connection->opcode, expected);
    if (!connection->in_message)
        connection->at = 0;
    connection->in_message = !connection->fin;
    if (!options.deflate && connection->at + size > stream.size)
        fail("a message is too long");
    if (connection == connections)
        keep_head(head[0], size);
    return true;
}

static void on_payload(struct connection *connection, const uint8_t *bytes, uint64_t size) {
    connection->left -= size;
    if (connection->opcode >= OP_CLOSE) {
        memcpy(connection->control + connection->control_size, bytes, size);
        connection->control_size += (unsigned)size;
        return;
    }
    if (!options.deflate && phase != MEASURE && memcmp(bytes, stream.payload + connection->at, size))
        fail("a message came back changed");
    if (answers && answers_left && connection == connections)
        fwrite(bytes, 1, size, answers);
    connection->at += size;
}

/* A frame is complete: returns how many more messages may be sent. */
static unsigned on_frame(struct connection *connection) {
    if (connection->opcode >= OP_CLOSE) {
        on_control(connection);
        return 0;
    }
    if (!connection->fin)
        return 0;
    if (!options.deflate && connection->at != stream.size)
        fail("a message of %llu bytes instead of %llu", (unsigned long long)connection->at,
             (unsigned long long)stream.size);
    if (connection == connections && answers_left)
        answers_left--;
    return on_message(connection);
}

static unsigned on_bytes(struct connection *connection, const uint8_t *bytes, uint64_t size) {
    unsigned more = 0;
    const uint8_t *end = bytes + size;
    while (bytes < end) {
        if (!connection->left) {
            connection->head[connection->have++] = *bytes++;
            if (!on_head(connection))
                continue;
        }
        uint64_t available = (uint64_t)(end - bytes), part = connection->left < available ? connection->left : available;
        if (part) {
            on_payload(connection, bytes, part);
            bytes += part;
        }
        if (!connection->left)
            more += on_frame(connection);
    }
    return more;
}

/* Without a protocol: what is sent comes back as it is. */
static unsigned on_raw_bytes(struct connection *connection, const uint8_t *bytes, uint64_t size) {
    unsigned more = 0;
    while (size) {
        uint64_t available;
        uint8_t *expected = stream_at(connection->at, &available);
        uint64_t part = size < available ? size : available;
        if (phase != MEASURE && memcmp(bytes, expected, part))
            fail("a message came back changed");
        connection->at += part;
        bytes += part;
        size -= part;
    }
    while (connection->received < connection->granted && connection->at >= stream_end(connection->received + 1))
        more += on_message(connection);
    return more;
}

static void on_readable(struct connection *connection) {
    static uint8_t buffer[READ_SIZE];
    ssize_t size = recv(connection->fd, buffer, sizeof buffer, 0);
    if (would_block(size, "receiving"))
        return;
    if (!size)
        fail("the server ends a connection");
    now = last_progress = clock_now();
    unsigned more = (options.raw ? on_raw_bytes : on_bytes)(connection, buffer, (uint64_t)size);
    if (more)
        grant(connection, more);
    else if (connection->pong_size)
        flush(connection, connection->granted);
}

/* -- Opening handshake */

static int connect_to_server(bool blocking) {
    int fd = socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connecting: %s", strerror(errno));
    return fd;
}

static void send_request(int fd) {
    char request[512];
    int size = snprintf(request, sizeof request,
                        "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        options.port,
                        !options.deflate      ? ""
                        : options.no_takeover ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover;"
                                                " server_no_context_takeover; client_max_window_bits\r\n"
                                              : "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    if (send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        fail("sending the request: %s", strerror(errno));
}

/* Returns false as long as the response is not complete. */
static bool check_response(const char *reply) {
    const char *end = strstr(reply, "\r\n\r\n");
    if (!end)
        return false;
    if (end[4])
        fail("something comes with the response");
    if (strncmp(reply, "HTTP/1.1 101", 12))
        fail("the response: %.*s", (int)strcspn(reply, "\r"), reply);
    /* RFC 6455, section 1.3, has this key and what answers it. */
    if (!strstr(reply, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        fail("the wrong Sec-WebSocket-Accept");
    bool agreed = strstr(reply, "permessage-deflate");
    if (agreed != options.deflate)
        fail(agreed ? "compression that was not offered" : "the server does not compress");
    if (!options.no_takeover && strstr(reply, "client_no_context_takeover"))
        fail("the server wants no context takeover, but the messages were compressed with it");
    return true;
}

static void open_connection(struct connection *connection) {
    char reply[HEAD_SIZE];
    struct timeval patience = {.tv_sec = (long)PATIENCE};
    connection->fd = connect_to_server(true);
    connection->sent_at = make((size_t)options.window, sizeof *connection->sent_at);
    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    size_t size = 0;
    if (!options.raw) {
        send_request(connection->fd);
        do {
            ssize_t more = recv(connection->fd, reply + size, sizeof reply - 1 - size, 0);
            if (more <= 0)
                fail("no response: %s", more ? strerror(errno) : "the connection ended");
            reply[size += (size_t)more] = 0;
        } while (!check_response(reply));
    }
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event);
}

/* -- Handshakes */

static void start_handshake(struct connection *connection) {
    connection->fd = connect_to_server(false);
    connection->reply_size = 0;
    connection->have = 0;
    connection->opened_at = clock_now();
    if (!connection->reply)
        connection->reply = make(HEAD_SIZE, 1);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event);
}

static void end_handshake(struct connection *connection) {
    close(connection->fd);
    completed++;
    if (phase != DRAIN)
        start_handshake(connection);
    else
        connection->fd = -1;
}

static void on_handshake_event(struct connection *connection, uint32_t events) {
    if (events & EPOLLOUT) {
        send_request(connection->fd);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event);
        return;
    }
    char *reply = connection->reply;
    ssize_t size = recv(connection->fd, reply + connection->reply_size, HEAD_SIZE - 1 - connection->reply_size, 0);
    if (would_block(size, "receiving"))
        return;
    now = last_progress = clock_now();
    reply[connection->reply_size += (unsigned)size] = 0;
    /* From here on "have" says that the response was read, and that a close frame is to come. */
    if (connection->have) {
        if (size && (uint8_t)reply[0] != (0x80 | OP_CLOSE))
            fail("no close frame: %02x", (uint8_t)reply[0]);
        if (!size && !connection->reply_size)
            fail("the server ends a connection");
        end_handshake(connection);
        return;
    }
    if (!size)
        fail("the server ends a connection");
    if (!check_response(reply))
        return;
    if (phase == MEASURE)
        sample(now - connection->opened_at);
    uint8_t frame[8];
    uint64_t length = write_frame(frame, 0x80 | OP_CLOSE, (const uint8_t *)"\x03\xe8", 2);
    if (send(connection->fd, frame, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("sending a close frame: %s", strerror(errno));
    connection->have = 1;
    connection->reply_size = 0;
}

/* -- The run */

static struct {
    uint64_t time, completed;
    double server, own;
} began, ended;

#define MARK(where)                                                                                                    \
    ((where).time = now = clock_now(), (where).completed = completed, (where).server = server_cpu(), (where).own = own_cpu())

static bool all_done(void) {
    for (int i = 0; i < options.connections; i++) {
        if (options.mode == HANDSHAKES ? connections[i].fd >= 0
                                       : connections[i].received < connections[options.mode == BROADCAST ? 0 : i].granted)
            return false;
    }
    return true;
}

static void next_phase(uint64_t started) {
    if (phase == WARM_UP && (double)(now - started) * 1e-9 >= options.warm_up) {
        MARK(began);
        phase = MEASURE;
    }
    if (phase == MEASURE) {
        measured = completed - began.completed;
        bool enough = options.messages && measured >= options.messages;
        if (!enough && (double)(now - began.time) * 1e-9 < options.seconds)
            return;
        MARK(ended);
        phase = DRAIN;
    }
    if (phase == DRAIN && all_done())
        phase = DONE;
}

static void turn(void) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, 1000);
    now = clock_now();
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (options.mode == HANDSHAKES) {
            on_handshake_event(connection, events[i].events);
            continue;
        }
        if (events[i].events & EPOLLOUT)
            flush(connection, connection->granted);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(connection);
    }
}

static void check_patience(void) {
    if ((double)(now - last_progress) * 1e-9 > PATIENCE && now > last_progress)
        fail("nothing came for %.0f seconds", PATIENCE);
}

static void measure(void) {
    uint64_t started = now = last_progress = clock_now();
    int senders = options.mode == BROADCAST ? 1 : options.connections;
    for (int i = 0; i < senders; i++) {
        if (options.mode == HANDSHAKES)
            start_handshake(&connections[i]);
        else
            grant(&connections[i], (uint64_t)options.window);
    }
    for (next_phase(started); phase != DONE; next_phase(started)) {
        turn();
        check_patience();
    }
    printf("{\"messages\": %llu, \"seconds\": %.9f, \"server_cpu\": %.9f, \"load_cpu\": %.6f, \"p50\": %.9f, "
           "\"p99\": %.9f, \"slowest\": %.9f}\n",
           (unsigned long long)(ended.completed - began.completed), (double)(ended.time - began.time) * 1e-9,
           ended.server - began.server, ended.own - began.own, percentile(0.5), percentile(0.99),
           (double)slowest * 1e-9);
}

static void idle(void) {
    now = last_progress = clock_now();
    for (int i = 0; options.messages && i < options.connections; i++)
        grant(&connections[i], options.messages);
    while (!all_done()) {
        turn();
        check_patience();
    }
    printf("{\"open\": %d}\n", options.connections);
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    for (struct epoll_event got;;) {
        if (epoll_wait(poller, &got, 1, -1) < 1)
            continue;
        if (!got.data.ptr)
            return;
        if (got.events & EPOLLOUT)
            flush(got.data.ptr, ((struct connection *)got.data.ptr)->granted);
        else
            on_readable(got.data.ptr);
    }
}

static enum mode mode_named(const char *name) {
    static const char *const names[] = {"echo", "broadcast", "handshakes", "idle"};
    for (int i = 0; i < 4; i++) {
        if (name && !strcmp(name, names[i]))
            return (enum mode)i;
    }
    fail("the first argument is echo, broadcast, handshakes or idle");
    return ECHO;
}

static void parse(int argc, char **argv) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},     {"connections", 1, 0, 'c'}, {"window", 1, 0, 'w'},  {"pid", 1, 0, 'i'},
        {"warm-up", 1, 0, 'u'},  {"seconds", 1, 0, 's'},     {"messages", 1, 0, 'm'}, {"fragment", 1, 0, 'f'},
        {"text", 0, 0, 't'},     {"deflate", 0, 0, 'd'},     {"raw", 0, 0, 'r'},      {"payload", 1, 0, 'l'},
        {"answers", 1, 0, 'a'},  {"no-takeover", 0, 0, 'n'}, {0, 0, 0, 0},
    };
    options.mode = mode_named(argv[1]);
    optind = 2;
    for (int found; (found = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (found) {
        case 'p': options.port = atoi(optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 'w': options.window = atoi(optarg); break;
        case 'i': options.pid = atoi(optarg); break;
        case 'u': options.warm_up = atof(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'm': options.messages = strtoull(optarg, NULL, 10); break;
        case 'f': options.fragment = strtoull(optarg, NULL, 10); break;
        case 't': options.text = true; break;
        case 'd': options.deflate = true; break;
        case 'n': options.no_takeover = true; break;
        case 'r': options.raw = true; break;
        case 'l': options.payload = optarg; break;
        case 'a': options.answers = optarg; break;
        default: exit(2);
        }
    }
    if (options.port <= 0 || options.connections < 1 || options.window < 1)
        fail("--port, --connections and --window are at least 1");
    if (options.mode == IDLE && options.messages > (uint64_t)options.window)
        fail("no more than --window messages before being idle");
}

int main(int argc, char **argv) {
    parse(argc, argv);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (options.payload)
        stream.payload = read_file(options.payload, &stream.size);
    if (options.deflate && options.payload)
        prepare_compressed();
    else
        prepare_plain();
    if (options.answers && !(answers = fopen(options.answers, "wb")))
        fail("%s: %s", options.answers, strerror(errno));
    poller = epoll_create1(0);
    connections = make((size_t)options.connections, sizeof *connections);
    remaining = make((size_t)options.window, sizeof *remaining);
    for (int i = 0; i < options.window; i++)
        remaining[i] = (uint32_t)options.connections;
    for (int i = 0; options.mode != HANDSHAKES && i < options.connections; i++)
        open_connection(&connections[i]);
    /* Some servers respond before the application knows of a connection, and would leave out the last ones. */
    if (options.mode == BROADCAST)
        usleep(SETTLING);
    if (options.mode == IDLE)
        idle();
    else
        measure();
    if (answers && fclose(answers))
        fail("%s: %s", options.answers, strerror(errno));
    return 0;
}
