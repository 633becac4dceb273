/* wire.c - messages: a header with files, then values. */
#include "run/worker/wire.h"

#include "base/array_shared.h"
#include "base/artifact_source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* No message is larger: arrays travel as files. */
#define MOST_BYTES ((uint64_t)1 << 30)

typedef struct header {
    uint64_t kind, size, files;
} header;

void mf_packet_clear(mf_packet *p)
{
    for (int i = 0; i < p->file_count; i++)
        close(p->files[i]);
    free(p->bytes);
    *p = (mf_packet){0};
}

/* ---- putting --------------------------------------------------------------------------------- */

static void put(mf_packet *p, const void *bytes, size_t size)
{
    if (p->room - p->size < size) {
        size_t room = 2 * p->room > p->size + size ? 2 * p->room : p->size + size + 256;
        uint8_t *grown = realloc(p->bytes, room);
        if (!grown) {
            p->failed = true;
            return;
        }
        p->bytes = grown;
        p->room = room;
    }
    if (size)
        memcpy(p->bytes + p->size, bytes, size);
    p->size += size;
}

void mf_packet_int(mf_packet *p, int64_t value)
{
    put(p, &value, sizeof value);
}

void mf_packet_text(mf_packet *p, const char *text)
{
    mf_packet_int(p, text ? (int64_t)strlen(text) : -1);
    if (text)
        put(p, text, strlen(text) + 1);
}

void mf_packet_bytes(mf_packet *p, const void *bytes, size_t size)
{
    mf_packet_int(p, (int64_t)size);
    put(p, bytes, size);
}

void mf_packet_status(mf_packet *p, const mf_error *status)
{
    char *text = status ? mf_error_text(status) : NULL;

    mf_packet_int(p, status ? (int64_t)mf_error_code(status) : -1);
    mf_packet_text(p, status && !text ? "out of memory" : text);
    free(text);
}

void mf_packet_append(mf_packet *p, mf_packet *content)
{
    put(p, content->bytes, content->size);
    p->failed |= content->failed;
    memcpy(p->files, content->files, sizeof p->files);
    p->file_count = content->file_count;
    content->file_count = 0;
}

static void put_attribute(mf_packet *p, const mf_artifact *a, size_t i)
{
    mf_attribute_kind kind;
    const char *name = mf_artifact_attribute(a, i, &kind);
    int64_t value = 0;
    size_t count = 0;

    mf_packet_text(p, name);
    mf_packet_int(p, kind);
    if (kind == MF_ATTRIBUTE_TEXT) {
        mf_packet_text(p, mf_artifact_text(a, name));
    } else if (kind == MF_ATTRIBUTE_INT) {
        mf_artifact_int(a, name, &value);
        mf_packet_int(p, value);
    } else {
        const double *reals = mf_artifact_reals(a, name, &count);
        mf_packet_bytes(p, reals, count * sizeof *reals);
    }
}

void mf_packet_head(mf_packet *p, const mf_artifact *a)
{
    mf_packet_text(p, mf_artifact_type(a));
    mf_packet_int(p, (int64_t)mf_artifact_attribute_count(a));
    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++)
        put_attribute(p, a, i);
    mf_packet_int(p, (int64_t)mf_artifact_array_count(a));
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        mf_packet_text(p, info.name);
        mf_packet_int(p, info.dtype);
        mf_packet_int(p, info.rank);
        for (int d = 0; d < info.rank; d++)
            mf_packet_int(p, info.shape[d]);
        mf_packet_int(p, info.ragged ? info.rows : -1);
    }
}

static mf_status put_file(mf_packet *p, mf_array *array)
{
    mf_status status = mf_array_share(array, &p->files[p->file_count]);

    if (!status)
        p->file_count++;
    mf_array_unref(array);
    return status;
}

mf_status mf_packet_array(mf_packet *p, const mf_artifact *a, const char *name)
{
    mf_array_info info;
    mf_array *array, *offsets = NULL;
    mf_status status;

    if (!mf_artifact_find(a, name, &info))
        return mf_fail(MF_NOT_FOUND, "artifact of type %s has no array '%s'", mf_artifact_type(a),
                       name);
    if (info.ragged)
        MF_TRY(mf_artifact_rows(a, name, &array, &offsets));
    else
        MF_TRY(mf_artifact_array(a, name, &array));
    status = put_file(p, array);
    if (offsets && !status)
        return put_file(p, offsets);
    mf_array_unref(offsets);
    return status;
}

/* ---- getting --------------------------------------------------------------------------------- */

static const uint8_t *take(mf_packet *p, size_t size)
{
    const uint8_t *bytes = p->bytes + p->at;

    if (p->failed || size > p->size - p->at) {
        p->failed = true;
        return NULL;
    }
    p->at += size;
    return bytes;
}

int64_t mf_packet_get_int(mf_packet *p)
{
    int64_t value = 0;
    const uint8_t *bytes = take(p, sizeof value);

    if (bytes)
        memcpy(&value, bytes, sizeof value);
    return value;
}

const void *mf_packet_get_bytes(mf_packet *p, size_t *size)
{
    int64_t length = mf_packet_get_int(p);
    const uint8_t *bytes;

    if (length < 0)
        p->failed = true;
    bytes = take(p, length < 0 ? 0 : (size_t)length);
    *size = bytes ? (size_t)length : 0;
    return bytes;
}

const char *mf_packet_get_text(mf_packet *p)
{
    int64_t length = mf_packet_get_int(p);
    const uint8_t *bytes;

    if (length < 0)
        return NULL;
    bytes = length < INT64_MAX ? take(p, (size_t)length + 1) : take(p, SIZE_MAX);
    if (bytes && memchr(bytes, 0, (size_t)length + 1) == bytes + length)
        return (const char *)bytes;
    p->failed = true;
    return NULL;
}

size_t mf_packet_get_count(mf_packet *p)
{
    int64_t count = mf_packet_get_int(p);

    if (count >= 0 && (uint64_t)count <= p->size - p->at)
        return (size_t)count;
    p->failed = true;
    return 0;
}

mf_status mf_packet_check(const mf_packet *p)
{
    return p->failed ? mf_fail(MF_INTERNAL, "a message of the other process is damaged") : MF_OK;
}

mf_status mf_packet_get_status(mf_packet *p)
{
    int64_t code = mf_packet_get_int(p);
    const char *text = mf_packet_get_text(p);

    MF_TRY(mf_packet_check(p));
    if (code < 0)
        return MF_OK;
    if (code > MF_INTERNAL || !text)
        return mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    return mf_fail((mf_code)code, "%s", text);
}

static mf_status get_attribute(mf_packet *p, mf_artifact *a)
{
    const char *name = mf_packet_get_text(p), *text = NULL;
    int64_t kind = mf_packet_get_int(p), value = 0;
    const void *bytes = NULL;
    size_t size = 0;
    double *reals;
    mf_status status;

    if (kind == MF_ATTRIBUTE_TEXT)
        text = mf_packet_get_text(p);
    else if (kind == MF_ATTRIBUTE_INT)
        value = mf_packet_get_int(p);
    else
        bytes = mf_packet_get_bytes(p, &size);
    if (!name || (kind == MF_ATTRIBUTE_TEXT && !text))
        p->failed = true;
    MF_TRY(mf_packet_check(p));
    if (kind == MF_ATTRIBUTE_TEXT)
        return mf_artifact_set_text(a, name, text);
    if (kind == MF_ATTRIBUTE_INT)
        return mf_artifact_set_int(a, name, value);
    reals = malloc(size + sizeof *reals); /* aligned, as the packet's bytes are not */
    if (!reals)
        return mf_no_memory(0, "an artifact");
    memcpy(reals, bytes, size);
    status = mf_artifact_set_reals(a, name, reals, size / sizeof *reals);
    free(reals);
    return status;
}

mf_status mf_packet_get_attributes(mf_packet *p, mf_artifact *a)
{
    size_t count = mf_packet_get_count(p);

    for (size_t i = 0; i < count; i++)
        MF_TRY(get_attribute(p, a));
    return mf_packet_check(p);
}

static void get_info(mf_packet *p, mf_array_info *info)
{
    int64_t dtype, rank, rows;

    info->name = mf_packet_get_text(p);
    dtype = mf_packet_get_int(p);
    rank = mf_packet_get_int(p);
    if (!info->name || dtype < 0 || dtype >= MF_DTYPE_COUNT || rank < 0 || rank > MF_MAX_RANK) {
        p->failed = true;
        return;
    }
    info->dtype = (mf_dtype)dtype;
    info->rank = (int)rank;
    for (int d = 0; d < info->rank; d++)
        info->shape[d] = mf_packet_get_int(p);
    rows = mf_packet_get_int(p);
    info->ragged = rows >= 0;
    info->rows = rows < 0 ? 0 : rows;
    if (info->ragged && (info->rank != 1 || rows == INT64_MAX))
        p->failed = true;
}

mf_status mf_packet_get_arrays(mf_packet *p, mf_array_info **arrays, size_t *count)
{
    size_t n = mf_packet_get_count(p);

    *arrays = calloc(n ? n : 1, sizeof **arrays);
    *count = n;
    if (!*arrays)
        return mf_no_memory(0, "an artifact");
    for (size_t i = 0; i < n && !p->failed; i++)
        get_info(p, &(*arrays)[i]);
    if (!p->failed)
        return MF_OK;
    free(*arrays);
    *arrays = NULL;
    return mf_packet_check(p);
}

mf_status mf_packet_get_array(const mf_packet *p, const mf_array_info *info, mf_array **array,
                              mf_array **offsets)
{
    int64_t rows = info->rows + 1;
    mf_status status;

    *array = *offsets = NULL;
    if (p->file_count != 1 + info->ragged)
        return mf_fail(MF_INTERNAL, "a message of the other process lacks its array");
    MF_TRY(mf_array_of_shared(p->files[0], info->dtype, info->rank, info->shape, array));
    if (!info->ragged)
        return MF_OK;
    status = mf_array_of_shared(p->files[1], MF_I64, 1, &rows, offsets);
    if (status) {
        mf_array_unref(*array);
        *array = NULL;
    }
    return status;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static mf_status lost(const char *doing)
{
    return mf_fail(MF_IO, "%s the other process: %s", doing, strerror(errno));
}

static mf_status send_header(int socket, const mf_packet *p)
{
    header h = {p->kind, p->size, (uint64_t)p->file_count};
    union {
        char bytes[CMSG_SPACE(sizeof p->files)];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {&h, sizeof h};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (p->file_count) {
        struct cmsghdr *c;
        size_t size = (size_t)p->file_count * sizeof(int);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(size);
        c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(c), p->files, size);
    }
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    /* A stream socket takes so few bytes whole or not at all. */
    return sent == (ssize_t)sizeof h ? MF_OK : lost("telling");
}

mf_status mf_wire_send(int socket, const mf_packet *p)
{
    size_t done = 0;

    if (p->failed)
        return mf_no_memory(0, "a message");
    MF_TRY(send_header(socket, p));
    while (done < p->size) {
        ssize_t sent = send(socket, p->bytes + done, p->size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return lost("telling");
        done += (size_t)sent;
    }
    return MF_OK;
}

/* Keeps the files that came with the header; more than fit are not sent. */
static void take_files(mf_packet *p, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count && p->file_count < MF_WIRE_FILES; i++)
            memcpy(&p->files[p->file_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

static mf_status receive_bytes(int socket, uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t got = recv(socket, bytes, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            return mf_fail(MF_IO, "the other process ended in the middle of a message");
        if (got < 0)
            return lost("hearing");
        bytes += got;
        size -= (size_t)got;
    }
    return MF_OK;
}

static mf_status receive_header(int socket, mf_packet *p, header *h, bool *end)
{
    union {
        char bytes[CMSG_SPACE(sizeof p->files)];
        struct cmsghdr align;
    } control;
    struct iovec part = {h, sizeof *h};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got;

    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    *end = got == 0 || (got < 0 && errno == ECONNRESET);
    if (*end)
        return MF_OK;
    if (got < 0)
        return lost("hearing");
    take_files(p, &message);
    return receive_bytes(socket, (uint8_t *)h + got, sizeof *h - (size_t)got);
}

mf_status mf_wire_receive(int socket, mf_packet *p, bool *end)
{
    header h;

    *p = (mf_packet){0};
    MF_TRY(receive_header(socket, p, &h, end));
    if (*end)
        return MF_OK;
    if (h.size > MOST_BYTES || h.kind > MF_WIRE_DONE || h.files != (uint64_t)p->file_count)
        return mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    p->kind = (mf_wire_kind)h.kind;
    p->bytes = malloc(h.size ? h.size : 1);
    if (!p->bytes)
        return mf_no_memory(0, "a message");
    p->size = p->room = h.size;
    return receive_bytes(socket, p->bytes, p->size);
}
