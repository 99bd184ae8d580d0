/* Makes system calls of a process fail: while the file $FAULTS/<call> is there, with the errno in it.

   Built and preloaded by test_faults.py. "write" is that of a regular file, "fsync" of a file and
   "fsync-folder" of a folder. "clock" holds seconds by which the wall clock is wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int told(const char *call) {
    char path[4096], number[16] = {0};
    const char *folder = getenv("FAULTS");
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, call);
    int saved = errno, handle = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    errno = saved;
    if (handle < 0) return 0;
    long got = syscall(SYS_read, handle, number, sizeof number - 1);
    syscall(SYS_close, handle);
    return got <= 0 ? 0 : atoi(number);
}

static int fails(const char *call) {
    int number = told(call);
    if (number) errno = number;
    return number != 0;
}

static int is(int handle, mode_t kind) {
    struct stat found;
    return fstat(handle, &found) == 0 && (found.st_mode & S_IFMT) == kind;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *time) {
    int done = REAL(clock_gettime)(clock, time);
    if (clock == CLOCK_REALTIME && done == 0) time->tv_sec += told("clock");
    return done;
}
int fdatasync(int handle) { return fails("fdatasync") ? -1 : REAL(fdatasync)(handle); }
int fsync(int handle) {
    return fails(is(handle, S_IFDIR) ? "fsync-folder" : "fsync") ? -1 : REAL(fsync)(handle);
}
int rename(const char *from, const char *to) { return fails("rename") ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return fails("unlink") ? -1 : REAL(unlink)(path); }
int ftruncate(int handle, off_t size) { return fails("ftruncate") ? -1 : REAL(ftruncate)(handle, size); }
int ftruncate64(int handle, off64_t size) {
    return fails("ftruncate") ? -1 : REAL(ftruncate64)(handle, size);
}
ssize_t pwritev(int handle, const struct iovec *parts, int count, off_t at) {
    return fails("pwritev") ? -1 : REAL(pwritev)(handle, parts, count, at);
}
ssize_t pwritev64(int handle, const struct iovec *parts, int count, off64_t at) {
    return fails("pwritev") ? -1 : REAL(pwritev64)(handle, parts, count, at);
}
ssize_t pwritev2(int handle, const struct iovec *parts, int count, off_t at, int flags) {
    return fails("pwritev") ? -1 : REAL(pwritev2)(handle, parts, count, at, flags);
}
ssize_t pwritev64v2(int handle, const struct iovec *parts, int count, off64_t at, int flags) {
    return fails("pwritev") ? -1 : REAL(pwritev64v2)(handle, parts, count, at, flags);
}
ssize_t write(int handle, const void *from, size_t size) {
    return handle > 2 && is(handle, S_IFREG) && fails("write") ? -1 : REAL(write)(handle, from, size);
}
