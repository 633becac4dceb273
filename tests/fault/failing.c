/* failing.c - preloaded into a program, makes one of its writes fail, or all from one on.
 *
 * Counts the calls that write below MASSFLOW_FAULT_FOLDER: data, sizes, syncs, new and renamed
 * files. Number MASSFLOW_FAULT_AT (from 1; 0: none) fails with the error MASSFLOW_FAULT_ERRNO, and
 * with MASSFLOW_FAULT_LASTS=1 all after it too, as on a full disk. At its end the program leaves
 * the count in the file MASSFLOW_FAULT_COUNT. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FILE_OFFSET_BITS /* open and open64 are two functions here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

static long setting(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static bool below(const char *path)
{
    const char *folder = getenv("MASSFLOW_FAULT_FOLDER");
    char whole[PATH_MAX];

    if (!folder || !path)
        return false;
    if (*path != '/' && getcwd(whole, sizeof whole) &&
        strlen(whole) + strlen(path) + 2 < sizeof whole) {
        strcat(whole, "/");
        path = strcat(whole, path);
    }
    return !strncmp(path, folder, strlen(folder));
}

static bool fails(const char *path)
{
    long at = setting("MASSFLOW_FAULT_AT"), call;

    if (!below(path))
        return false;
    call = atomic_fetch_add(&calls, 1) + 1;
    if (!at || call < at || (call > at && !setting("MASSFLOW_FAULT_LASTS")))
        return false;
    errno = (int)setting("MASSFLOW_FAULT_ERRNO");
    return true;
}

static bool fd_fails(int fd)
{
    char link[40], path[PATH_MAX];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 1 || *path != '/') /* a pipe has no path */
        return false;
    path[length] = 0;
    return fails(path);
}

__attribute__((destructor)) static void leave_count(void)
{
    const char *path = getenv("MASSFLOW_FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (file) {
        fprintf(file, "%ld\n", atomic_load(&calls));
        fclose(file);
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t size)
{
    return fd_fails(fd) ? -1 : REAL(write)(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return fd_fails(fd) ? -1 : REAL(pwrite)(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return fd_fails(fd) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return fd_fails(fd) ? -1 : REAL(writev)(fd, parts, count);
}

int fsync(int fd)
{
    return fd_fails(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return fd_fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t size)
{
    return fd_fails(fd) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return fd_fails(fd) ? -1 : REAL(ftruncate64)(fd, size);
}

int rename(const char *from, const char *to)
{
    return fails(to) ? -1 : REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    return fails(path) ? -1 : REAL(mkdir)(path, mode);
}

static mode_t new_mode(int flags, va_list args)
{
    return flags & O_CREAT ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = new_mode(flags, args);
    va_end(args);
    return flags & O_CREAT && fails(path) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = new_mode(flags, args);
    va_end(args);
    return flags & O_CREAT && fails(path) ? -1 : REAL(open64)(path, flags, mode);
}

/* Streams call the kernel from inside the C library, past the functions above. */

FILE *fopen(const char *path, const char *mode)
{
    return strpbrk(mode, "wa+") && fails(path) ? NULL : REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return strpbrk(mode, "wa+") && fails(path) ? NULL : REAL(fopen64)(path, mode);
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file)
{
    return fd_fails(fileno(file)) ? 0 : REAL(fwrite)(bytes, size, count, file);
}

int fflush(FILE *file)
{
    return file && fd_fails(fileno(file)) ? EOF : REAL(fflush)(file);
}

int fclose(FILE *file)
{
    int fd = fileno(file);
    bool fail = fd_fails(fd);
    int code = errno, result = REAL(fclose)(file);

    if (!fail)
        return result;
    errno = code;
    return EOF;
}
