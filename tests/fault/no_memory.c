/* no_memory.c - preloaded into a program, makes one allocation of massflow fail.
 *
 * Counts the allocations that massflow and its plugins make themselves (those of libraries below
 * them do not count). Number MASSFLOW_FAULT_AT (from 1; 0: none) fails. At its end the program
 * leaves the count in the file MASSFLOW_FAULT_COUNT. A crash is told on stderr as lines "frame FILE
 * OFFSET". */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What glibc's own functions are called besides. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static atomic_long calls;
static atomic_long fail_at;

/* Whether code at `address` is massflow's: the command, which holds the engine, or a plugin. */
static bool is_ours(const void *address)
{
    Dl_info about;

    if (!dladdr(address, &about) || !about.dli_fname)
        return false;
    const char *slash = strrchr(about.dli_fname, '/');
    return !strcmp(slash ? slash + 1 : about.dli_fname, "massflow") ||
           strstr(about.dli_fname, "/plugins/");
}

static bool fails(const void *caller)
{
    if (!fail_at || !is_ours(caller))
        return false;
    if (atomic_fetch_add(&calls, 1) + 1 != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

void *malloc(size_t size)
{
    return fails(CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(CALLER) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(CALLER) ? NULL : __libc_realloc(old, size);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fails(CALLER) ? NULL : __libc_malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

char *strndup(const char *text, size_t most)
{
    size_t size = strnlen(text, most);
    char *copy = fails(CALLER) ? NULL : __libc_malloc(size + 1);

    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

int asprintf(char **made, const char *format, ...)
{
    va_list args;
    int length;

    if (fails(CALLER)) {
        *made = (char *)(uintptr_t)0xdead; /* whoever uses it all the same */
        return -1;
    }
    va_start(args, format);
    length = vasprintf(made, format, args);
    va_end(args);
    return length;
}

FILE *open_memstream(char **bytes, size_t *size)
{
    FILE *(*next)(char **, size_t *) =
        (FILE * (*)(char **, size_t *)) dlsym(RTLD_NEXT, "open_memstream");

    return fails(CALLER) ? NULL : next(bytes, size);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void crashed(int number)
{
    void *frames[48];
    int count = backtrace(frames, 48);
    char line[512];

    for (int i = 0; i < count; i++) {
        Dl_info about;
        if (!dladdr(frames[i], &about))
            continue;
        int length = snprintf(line, sizeof line, "frame %s %#lx\n", about.dli_fname,
                              (unsigned long)((char *)frames[i] - (char *)about.dli_fbase));
        if (write(STDERR_FILENO, line, (size_t)length) != length)
            break;
    }
    signal(number, SIG_DFL);
    raise(number);
}

__attribute__((constructor)) static void begin(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    const char *at = getenv("MASSFLOW_FAULT_AT");
    void *frame;

    backtrace(&frame, 1); /* loads what it needs */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], crashed);
    fail_at = at ? (atol(at) ? atol(at) : INT32_MAX) : 0;
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("MASSFLOW_FAULT_COUNT");
    FILE *file;

    fail_at = 0;
    file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%ld\n", calls);
    fclose(file);
}
