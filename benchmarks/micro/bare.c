/* The bare loops: the system calls of our loops and nothing else. Each returns the bytes moved, or -1. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_CHUNK (1024 * 1024)
#define READ_CHUNK (256 * 1024)
#define RECEIVE_CHUNK (512 * 1024)

static size_t least(int64_t left, int64_t chunk) { return (size_t)(left < chunk ? left : chunk); }

int64_t bare_sendfile(int sock, int file, int64_t size) {
    off_t offset = 0;
    while (offset < size)
        if (sendfile(sock, file, &offset, least(size - offset, SEND_CHUNK)) <= 0) return -1;
    return offset;
}

int64_t bare_read_and_send(int sock, int file, int64_t size) {
    char *buffer = malloc(READ_CHUNK);
    int64_t offset = 0;
    while (offset < size) {
        ssize_t got = pread(file, buffer, least(size - offset, READ_CHUNK), offset);
        for (ssize_t sent = 0; sent < got;) {
            ssize_t n = send(sock, buffer + sent, (size_t)(got - sent), 0);
            if (n < 0) got = -1;
            sent += n;
        }
        if (got <= 0) break;
        offset += got;
    }
    free(buffer);
    return offset == size ? offset : -1;
}

int64_t bare_splice(int sock, int file, int64_t size) {
    int ends[2];
    loff_t offset = 0;
    if (pipe(ends)) return -1;
    fcntl(ends[1], F_SETPIPE_SZ, SEND_CHUNK);
    while (offset < size) {
        ssize_t held = splice(sock, NULL, ends[1], NULL, least(size - offset, SEND_CHUNK), SPLICE_F_MOVE);
        if (held <= 0) break;
        while (held > 0) {
            ssize_t n = splice(ends[0], NULL, file, &offset, (size_t)held, SPLICE_F_MOVE);
            if (n <= 0) goto out;
            held -= n;
        }
    }
out:
    close(ends[0]);
    close(ends[1]);
    return offset == size ? offset : -1;
}

int64_t bare_splice_reserved(int sock, int file, int64_t size) {
    return fallocate(file, FALLOC_FL_KEEP_SIZE, 0, size) ? -1 : bare_splice(sock, file, size);
}

int64_t bare_copy(int sock, int file, int64_t size) {
    char *buffer = malloc(RECEIVE_CHUNK);
    int64_t offset = 0;
    while (offset < size) {
        ssize_t got = recv(sock, buffer, least(size - offset, RECEIVE_CHUNK), 0);
        if (got <= 0 || pwrite(file, buffer, (size_t)got, offset) != got) break;
        offset += got;
    }
    free(buffer);
    return offset == size ? offset : -1;
}

int64_t bare_copy_reserved(int sock, int file, int64_t size) {
    return fallocate(file, FALLOC_FL_KEEP_SIZE, 0, size) ? -1 : bare_copy(sock, file, size);
}

int64_t bare_receive(int sock, void *memory, int64_t size) {
    int64_t offset = 0;
    while (offset < size) {
        ssize_t got = recv(sock, (char *)memory + offset, least(size - offset, RECEIVE_CHUNK), 0);
        if (got <= 0) return -1;
        offset += got;
    }
    return offset;
}
