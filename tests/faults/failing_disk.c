/* Preloaded into a process: makes the n-th write, fsync, rename … below one folder fail, once. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX]; /* empty: nothing is counted */
static int log_fd = -1;       /* a line for each operation, for who plans the faults */
static char only[PATH_MAX];   /* how an operation begins that is counted: "rename /tiny", say */
static int fails_at, fails_with;
static atomic_int seen;

void fault_arm(const char *below, const char *which, int at, int error, int log) {
    snprintf(folder, sizeof folder, "%s", below);
    snprintf(only, sizeof only, "%s", which);
    fails_at = at;
    fails_with = error;
    log_fd = log;
    atomic_store(&seen, 0);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether this operation is the one that fails; errno is set then. */
static int fails(const char *what, const char *path) {
    if (!folder[0] || strncmp(path, folder, strlen(folder)) != 0) return 0;
    char line[PATH_MAX + 64];
    snprintf(line, sizeof line, "%s %s", what, path + strlen(folder));
    if (strncmp(line, only, strlen(only)) != 0) return 0;
    int now = atomic_fetch_add(&seen, 1) + 1;
    if (log_fd >= 0) dprintf(log_fd, "%s\n", line);
    if (now != fails_at) return 0;
    errno = fails_with;
    return 1;
}

static int fails_on(const char *what, int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0] || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(what, path);
}

#define ON_FD(type, name, parameters, fd, arguments) \
    type name parameters { return fails_on(#name, fd) ? -1 : REAL(name) arguments; }

ON_FD(ssize_t, write, (int fd, const void *data, size_t n), fd, (fd, data, n))
ON_FD(ssize_t, pwrite, (int fd, const void *data, size_t n, off_t at), fd, (fd, data, n, at))
ON_FD(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t at), fd, (fd, data, n, at))
ON_FD(int, fsync, (int fd), fd, (fd))
ON_FD(int, fdatasync, (int fd), fd, (fd))
ON_FD(int, ftruncate, (int fd, off_t size), fd, (fd, size))
ON_FD(int, ftruncate64, (int fd, off64_t size), fd, (fd, size))

int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
    return fails("unlink", path) ? -1 : REAL(unlink)(path);
}

#define CREATING(name)                                                      \
    int name(const char *path, int flags, ...) {                            \
        va_list more;                                                       \
        va_start(more, flags);                                              \
        mode_t mode = va_arg(more, mode_t);                                 \
        va_end(more);                                                       \
        if (flags & O_CREAT && fails("create", path)) return -1;            \
        return REAL(name)(path, flags, mode);                               \
    }

CREATING(open)
CREATING(open64)
