/* decode.c - massflow-decode: decodes compressed pixels for massflow in a process of its own, so
 * that a damaged file can end no more than this. It is started by decoder.c with a socket as its
 * standard input, answers requests until the other side closes that, and opens no file. */
#include "decoders.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SOCKET 0

/* The address sanitizer takes the address space whole, and writes what it finds. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

/* False at the end. */
static bool get(void *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = recv(SOCKET, (char *)to + got, size - got, 0);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool put(const void *from, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send(SOCKET, (const char *)from + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Lowers one of the process's limits; it can be raised again for the next frame. */
static void limit(int what, uint64_t to)
{
    struct rlimit l;
    if (getrlimit(what, &l))
        return;
    l.rlim_cur = l.rlim_max < to ? l.rlim_max : to;
    setrlimit(what, &l);
}

static void limit_frame(const decode_request *r)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    limit(RLIMIT_CPU,
          (uint64_t)used.ru_utime.tv_sec + (uint64_t)used.ru_stime.tv_sec + decode_seconds(r));
    if (!SANITIZED)
        limit(RLIMIT_AS, decode_memory(r));
}

static bool decode(const decode_request *r, const unsigned char *stream, void *pixels, char *why)
{
    if (r->kind == DECODE_JPEG_LS)
        return decode_jpeg_ls(r, stream, pixels, why);
    if (r->kind == DECODE_JPEG_2000)
        return decode_jpeg_2000(r, stream, pixels, why);
    return decode_jpeg(r, stream, pixels, why);
}

/* Takes a stream that there is no memory for. */
static bool pass_over(uint64_t bytes)
{
    char sink[4096];
    bool good = true;
    for (; good && bytes; bytes -= bytes < sizeof sink ? bytes : sizeof sink)
        good = get(sink, bytes < sizeof sink ? bytes : sizeof sink);
    return good;
}

/* False where the other side is gone. */
static bool answer(const decode_request *r)
{
    char why[DECODE_TEXT] = "there is no memory for them";
    size_t size = decode_pixel_bytes(r);
    limit_frame(r);
    unsigned char *stream = malloc(r->bytes + 1), *pixels = calloc(1, size + 1);
    bool here = stream && pixels, there = here ? get(stream, r->bytes) : pass_over(r->bytes);
    bool good = here && there && decode(r, stream, pixels, why);
    decode_reply reply = {DECODE_MARK, !good, good ? size : strlen(why)};
    there = there && put(&reply, sizeof reply) &&
            put(good ? (const void *)pixels : (const void *)why, reply.bytes);
    free(stream);
    free(pixels);
    return there;
}

int main(void)
{
    decode_request r;
    limit(RLIMIT_CORE, 0);
    if (!SANITIZED)
        limit(RLIMIT_FSIZE, 0);
    while (get(&r, sizeof r)) {
        if (r.mark != DECODE_MARK || r.bits < 1 || r.bits > 16)
            return 2;
        if (!answer(&r))
            return 0;
    }
    return 0;
}
