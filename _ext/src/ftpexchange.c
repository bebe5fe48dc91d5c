/* One small file over FTP: see ftpexchange.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ftpexchange.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"

#define FIRST_BODY 8192
#define BLOCK 65536
#define DATA_FIRST_MS 1
#define LULL_MS 1

void fx_ftp_init(fx_ftp *x, int control) {
    memset(x, 0, offsetof(fx_ftp, replies));
    x->control = control;
    x->epoll_fd = x->data = x->next = x->address_at = x->next_at = x->transfer_at = -1;
    x->size_at = x->file = x->named_at = -1;
    x->size = -1;
    x->done = true;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void fx_ftp_destroy(fx_ftp *x) {
    close_fd(&x->data);
    close_fd(&x->next);
    free(x->body);
    x->body = NULL;
    x->body_size = x->body_room = 0;
}

/* A connection to the server's data port, being opened; -1 with errno. */
static int open_to(fx_ftp *x, unsigned port) {
    struct sockaddr_storage address = x->peer;
    if (address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)port);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, x->peer_size) < 0 && errno != EINPROGRESS) {
        close_fd(&fd);
        return -1;
    }
    return fd;
}

static void watch_data(fx_ftp *x) {
    if (x->epoll_fd < 0 || x->data < 0) return;
    struct epoll_event event = {
        .events = (x->sending ? EPOLLOUT : EPOLLIN | EPOLLRDHUP) | EPOLLET,
        .data.u64 = x->serial << 1 | FX_FTP_DATA,
    };
    if (epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, x->data, &event) < 0) {
        x->data_error = errno;
        x->done = true;
    }
}

bool fx_ftp_ordinary(const fx_ftp *x) {
    bool answered = x->seen == x->finals && x->parsed == x->reply_size && (x->next_at < 0 || x->next >= 0);
    return (answered || x->owed) && x->ended && !x->data_error && (x->transfer_at < 0 || x->agreed) &&
           (x->size_at < 0 || x->size == (int64_t)x->body_size) && (x->file < 0 || x->stored) &&
           (x->named_at < 0 || x->named);
}

static void settle(fx_ftp *x) {
    bool left = x->leave_next && x->next_at == x->finals - 1 && x->seen == x->next_at;
    if ((x->seen < x->finals && !left) || !x->ended) return;
    x->owed = left;
    x->done = true;
    if (x->transfer_at < 0) return;
    bool ordinary = fx_ftp_ordinary(x);
    x->steady = x->body_size > 0 && x->body_size <= FIRST_BODY && ordinary;
    if (x->sending)
        for (int phase = 0; phase < 2; phase++) x->lull[phase] = ordinary ? x->before[phase] : 0;
}

static void send_payload(fx_ftp *x) {
    /* Nothing at all is sent, too: a connection that is closed before it is open never was one. */
    while (!x->connected || x->sent < x->payload_size) {
        ssize_t count = send(x->data, x->payload + x->sent, x->payload_size - x->sent, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == ENOTCONN) return;
            x->data_error = errno;
            x->done = true;
            return;
        }
        x->connected = true;
        x->sent += (size_t)count;
    }
    x->ended = true;
    settle(x);
}

static bool room_for_block(fx_ftp *x) {
    size_t wanted = x->body_size + (x->body_size ? BLOCK : FIRST_BODY);
    if (wanted <= x->body_room) return true;
    uint8_t *body = realloc(x->body, wanted);
    if (!body) {
        x->data_error = ENOMEM;
        x->done = true;
        return false;
    }
    x->body = body;
    x->body_room = wanted;
    return true;
}

static void store_body(fx_ftp *x) {
    size_t done = 0;
    while (done < x->body_size) {
        ssize_t count = pwrite(x->file, x->body + done, x->body_size - done, (off_t)done);
        if (count < 0 && errno == EINTR) continue;
        /* The caller meets the same error when it writes what is not in the file. */
        if (count <= 0) return;
        done += (size_t)count;
    }
    x->stored = true;
}

static void receive_body(fx_ftp *x, bool hung_up) {
    while (!x->ended && !x->done && room_for_block(x)) {
        size_t room = x->body_room - x->body_size;
        ssize_t count = recv(x->data, x->body + x->body_size, room, 0);
        if (count < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return;
            x->data_error = errno;
            x->done = true;
            return;
        }
        x->connected = true;
        x->body_size += (size_t)count;
        /* Whose end was there before we read has nothing left when less came than there was room for. */
        if (count == 0 || (hung_up && (size_t)count < room)) {
            x->ended = true;
            close_fd(&x->data);
            if (x->file >= 0) store_body(x);
            settle(x);
        } else if (x->body_size > x->limit) {
            x->done = true;
        } else if ((size_t)count < room && !hung_up) {
            return;
        }
    }
}

void fx_ftp_data(fx_ftp *x, bool hung_up) {
    if (x->done || x->data < 0 || x->ended) return;
    x->moved_at = fx_now();
    if (x->sending)
        send_payload(x);
    else
        receive_body(x, hung_up);
    if (x->sending && x->ended) {
        close_fd(&x->data);
        settle(x);
    }
}

/* The port in "229 … (|||port|)": 0 where there is none (RFC 2428, section 3). */
static unsigned port_in(const char *line, size_t size) {
    const char *at = memchr(line, '(', size);
    const char *end = line + size;
    if (!at || end - at < 6) return 0;
    char mark = at[1];
    if (mark < 33 || mark > 126 || (mark >= '0' && mark <= '9') || at[2] != mark || at[3] != mark) return 0;
    unsigned port = 0;
    const char *digit = at + 4;
    for (; digit < end && *digit >= '0' && *digit <= '9' && port < 65536; digit++)
        port = port * 10 + (unsigned)(*digit - '0');
    if (digit + 1 >= end || digit[0] != mark || digit[1] != ')' || port > 65535) return 0;
    return port;
}

/* The number that is all of "213 1234" but for blanks around it; -1 where there is none (RFC 3659, section 4). */
static int64_t number_in(const char *text, size_t size) {
    const char *at = text, *end = text + size;
    int64_t number = 0;
    while (at < end && *at == ' ') at++;
    while (at < end && (end[-1] == ' ' || end[-1] == '\r')) end--;
    if (at == end || end - at > 18) return -1;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') return -1;
        number = number * 10 + (*at - '0');
    }
    return number;
}

static void open_data(fx_ftp *x, unsigned port) {
    x->data = open_to(x, port);
    if (x->data < 0) {
        x->data_error = errno;
        x->done = true;
        return;
    }
    if (x->sending) send_payload(x);
    if (x->sending && x->ended)
        close_fd(&x->data);
    else
        watch_data(x);
}

/* The server has the whole payload, and says so: what is to follow goes out. */
static void send_then(fx_ftp *x) {
    ssize_t count = -1;
    /* A server that goes on talking is not understood. */
    if (x->ended && x->parsed == x->reply_size)
        do count = send(x->control, x->then, x->then_size, MSG_NOSIGNAL);
        while (count < 0 && errno == EINTR);
    x->then_sent = count > 0 ? (size_t)count : 0;
    x->phase_start = x->parsed;
    if (x->then_sent != x->then_size) x->done = true;
}

/* A whole final reply. What is not the ordinary course ends the exchange. */
static void take_final(fx_ftp *x, int code, const char *line, size_t size) {
    int index = x->seen++;
    if (index == x->next_at) {
        unsigned port = code == 229 ? port_in(line, size) : 0;
        if (port) {
            x->next = open_to(x, port);
            x->next_at_time = fx_now();
        }
    } else if (index == x->address_at) {
        unsigned port = code == 229 ? port_in(line, size) : 0;
        x->phase_start = x->parsed;
        if (port)
            open_data(x, port);
        else
            x->done = true;
    } else if (index == x->transfer_at) {
        /* What comes before the consent to an upload is not about it. */
        x->agreed = code < 300 && (x->consented || !x->sending);
        x->before[0] = x->reply_start - x->phase_start;
        if (!x->agreed)
            x->done = true;
        else if (x->then_size)
            send_then(x);
    } else if (index == x->named_at - 1) {
        x->promised = code == 350;
    } else if (index == x->named_at) {
        x->named = x->promised && code < 300;
        x->before[1] = x->reply_start - x->phase_start;
    } else if (index == x->size_at && code == 213) {
        x->size = number_in(line + 4, size - 4);
    }
}

static void take_line(fx_ftp *x, const char *line, size_t size) {
    int code = 0;
    bool numbered = size >= 4;
    for (size_t i = 0; i < 3 && numbered; i++) {
        numbered = line[i] >= '0' && line[i] <= '9';
        code = code * 10 + (line[i] - '0');
    }
    if (!x->multi) x->reply_start = (size_t)(line - x->replies);
    if (x->multi) {
        if (!numbered || code != x->multi || line[3] != ' ') return;
        x->multi = 0;
    } else if (!numbered || code < 100 || code > 599 || (line[3] != ' ' && line[3] != '-')) {
        x->done = true;
        return;
    } else if (line[3] == '-') {
        x->multi = code;
        return;
    }
    if (code >= 200)
        take_final(x, code, line, size);
    else if (x->seen == x->transfer_at)
        x->consented = true;
}

void fx_ftp_control(fx_ftp *x) {
    while (!x->done && x->seen < x->finals) {
        size_t room = sizeof x->replies - x->reply_size;
        if (!room) {
            x->done = true;
            return;
        }
        ssize_t count = recv(x->control, x->replies + x->reply_size, room, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            /* The next to read finds out as well. */
            x->done = true;
            return;
        }
        x->reply_size += (size_t)count;
        int before = x->seen;
        char *newline;
        while (x->seen < x->finals &&
               (newline = memchr(x->replies + x->parsed, '\n', x->reply_size - x->parsed)) != NULL) {
            const char *line = x->replies + x->parsed;
            x->parsed = (size_t)(newline - x->replies) + 1;
            bool was_done = x->done;
            take_line(x, line, (size_t)(newline - line));
            if (x->done && !was_done) return;
        }
        /* Pieces of replies, or those that only promise others, are no progress: they could go on like that for long. */
        if (x->seen > before) x->moved_at = fx_now();
        settle(x);
        if ((size_t)count < room) return;
    }
}

void fx_ftp_begin(fx_ftp *x) {
    x->data_first = x->steady && !x->sending;
    x->steady = false;
    size_t kept = x->owed ? x->reply_size - x->parsed : 0;
    memmove(x->replies, x->replies + x->parsed, kept);
    if (!x->owed) x->multi = 0;
    x->reply_size = kept;
    bool owed = x->owed;
    x->owed = false;
    x->done = x->connected = x->consented = x->agreed = x->stored = x->promised = x->named = false;
    x->size = -1;
    x->ended = x->transfer_at < 0;
    x->seen = x->data_error = 0;
    x->sent = x->body_size = x->parsed = x->then_sent = x->phase_start = x->reply_start = 0;
    x->before[0] = x->before[1] = 0;
    x->moved_at = fx_now();
    if (owed) {
        /* Who watches has been told of it already, perhaps. */
        fx_ftp_control(x);
        return;
    }
    if (x->data < 0) return;
    if (x->sending) send_payload(x);
    if (x->sending && x->ended)
        close_fd(&x->data);
    else if (!x->done)
        watch_data(x);
}

void fx_ftp_resume(fx_ftp *x) {
    x->done = x->leave_next = false;
    x->moved_at = fx_now();
    fx_ftp_control(x);
}

static void set_low_water(fx_ftp *x, int bytes) {
    setsockopt(x->control, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
    x->low_water = bytes != 1;
}

/* Bytes that will come before the reply that is waited for, if this upload goes as the one before it did. */
static size_t lull(const fx_ftp *x) {
    if (!x->sending || !x->ended) return 0;
    size_t usual = x->lull[x->then_sent > 0], here = x->reply_size - x->phase_start;
    return usual > here ? usual - here : 0;
}

static int wait_for(fx_ftp *x, int64_t patience, int64_t spin, struct pollfd *polled) {
    polled[0] = (struct pollfd){.fd = x->seen < x->finals ? x->control : -1, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = x->ended ? -1 : x->data, .events = x->sending ? POLLOUT : POLLIN | POLLRDHUP};
    if (x->data_first && !spin && polled[1].fd >= 0) {
        /* Each wake-up saved is time for the server, too. A refusal, which moves no data, comes this much later. */
        x->data_first = false;
        struct pollfd end = {.fd = polled[1].fd, .events = POLLRDHUP};
        int count = poll(&end, 1, DATA_FIRST_MS);
        if (count < 0) return count;
        polled[1].revents = end.revents;
        if (count) return count;
    }
    size_t idle = spin ? 0 : lull(x);
    if (idle) {
        /* The same for an upload's consent and RNFR. */
        set_low_water(x, (int)idle + 1);
        int count = poll(polled, 1, LULL_MS);
        if (count) return count;
        set_low_water(x, 1);
        x->lull[0] = x->lull[1] = 0;
    } else if (x->low_water) {
        set_low_water(x, 1);
    }
    int64_t now = fx_now();
    for (int64_t until = now + spin; now < until; now = fx_now()) {
        int count = poll(polled, 2, 0);
        if (count) return count;
        sched_yield();
    }
    return poll(polled, 2, fx_poll_timeout(x->moved_at + patience, now));
}

bool fx_ftp_run(fx_ftp *x, int64_t patience, int64_t spin) {
    bool interrupted = false;
    while (!x->done) {
        struct pollfd polled[2];
        int count = wait_for(x, patience, spin, polled);
        if (count < 0) {
            interrupted = errno == EINTR;
            if (interrupted) break;
            x->done = true;
        } else if (count == 0) {
            x->done = true;
        } else {
            if (polled[1].revents) fx_ftp_data(x, polled[1].revents & POLLRDHUP && !(polled[1].revents & POLLERR));
            if (polled[0].revents) fx_ftp_control(x);
        }
    }
    if (x->low_water) set_low_water(x, 1);
    return !interrupted;
}
