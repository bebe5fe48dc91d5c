/* Preloaded into a program: every TCP socket it makes uses cubic, or reno where cubic is not allowed to it.
 *
 * The system's default may pace even loopback (BBR does), and accepted sockets inherit the listener's choice.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <sys/socket.h>

static int (*next_socket)(int, int, int);

__attribute__((constructor)) static void find(void)
{
    next_socket = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
}

int socket(int domain, int type, int protocol)
{
    if (!next_socket)
        find();
    int fd = next_socket(domain, type, protocol);
    if (fd >= 0 && (domain == AF_INET || domain == AF_INET6) && (type & 0xff) == SOCK_STREAM) {
        int saved = errno;
        if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
            setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
        errno = saved;
    }
    return fd;
}
