/* What an idle connection tells without being used. */
#ifndef FX_PEEK_H
#define FX_PEEK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Whether the socket fd may carry a request: nothing has arrived unasked, and the peer has not closed it. */
static inline bool fx_is_quiet(int fd) {
    uint8_t byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

#endif
