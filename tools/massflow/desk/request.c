/* request.c - what handlers read of a request and put into a reply. See desk.h. */
#include "base/utf8.h"
#include "parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests -------------------------------------------------------------------------------- */

desk *desk_of(const desk_request *q)
{
    return q->desk;
}

const char *desk_rest(const desk_request *q)
{
    return q->rest;
}

json_object *desk_body(const desk_request *q)
{
    return q->parsed;
}

static bool is_clean(const char *text)
{
    size_t left = strlen(text);
    uint32_t code;

    while (left) {
        size_t size = mf_utf8_next(text, left, &code);
        if (!size)
            return false;
        text += size;
        left -= size;
    }
    return true;
}

const char *desk_query(const desk_request *q, const char *name)
{
    const char *text = MHD_lookup_connection_value(q->connection, MHD_GET_ARGUMENT_KIND, name);

    return text && is_clean(text) ? text : NULL;
}

mf_status desk_query_text(const desk_request *q, const char *name, const char **text)
{
    *text = desk_query(q, name);
    return *text ? MF_OK : mf_fail(MF_INVALID, "%s: '%s' is missing", q->path, name);
}

static mf_status in_range(const desk_request *q, const char *name, int64_t min, int64_t max,
                          int64_t value)
{
    if (value >= min && value <= max)
        return MF_OK;
    return mf_fail(MF_INVALID, "%s: '%s' is from %" PRId64 " to %" PRId64 ", not %" PRId64, q->path,
                   name, min, max, value);
}

mf_status desk_query_int(const desk_request *q, const char *name, int64_t min, int64_t max,
                         int64_t *value)
{
    const char *text;
    char *end;

    MF_TRY(desk_query_text(q, name, &text));
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return mf_fail(MF_INVALID, "%s: '%s' is a whole number, not '%s'", q->path, name, text);
    return in_range(q, name, min, max, *value);
}

mf_status desk_query_real(const desk_request *q, const char *name, double min, double max,
                          double *value)
{
    const char *text;
    char *end;

    MF_TRY(desk_query_text(q, name, &text));
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= min && *value <= max))
        return mf_fail(MF_INVALID, "%s: '%s' is a number from %g to %g, not '%s'", q->path, name,
                       min, max, text);
    return MF_OK;
}

static mf_status field(const desk_request *q, json_object *of, const char *name, json_type type,
                       const char *what, json_object **o)
{
    if (json_object_object_get_ex(of, name, o) && json_object_is_type(*o, type))
        return MF_OK;
    *o = NULL;
    return mf_fail(MF_INVALID, "%s: '%s' has to be %s", q->path, name, what);
}

mf_status desk_field_text(const desk_request *q, json_object *of, const char *name,
                          const char **text)
{
    json_object *o;

    *text = NULL;
    MF_TRY(field(q, of, name, json_type_string, "a text", &o));
    const char *found = json_object_get_string(o);
    if (strlen(found) != (size_t)json_object_get_string_len(o) || !is_clean(found))
        return mf_fail(MF_INVALID, "%s: '%s' is no text in UTF-8", q->path, name);
    *text = found;
    return MF_OK;
}

mf_status desk_body_text(const desk_request *q, const char *name, const char **text)
{
    return desk_field_text(q, q->parsed, name, text);
}

mf_status desk_field_int(const desk_request *q, json_object *of, const char *name, int64_t min,
                         int64_t max, int64_t *value)
{
    json_object *o;

    MF_TRY(field(q, of, name, json_type_int, "a whole number", &o));
    *value = json_object_get_int64(o);
    return in_range(q, name, min, max, *value);
}

mf_status desk_body_int(const desk_request *q, const char *name, int64_t min, int64_t max,
                        int64_t *value)
{
    return desk_field_int(q, q->parsed, name, min, max, value);
}

/* ---- replies --------------------------------------------------------------------------------- */

void desk_reply_clear(desk_reply *r)
{
    if (!r->fixed)
        free(r->bytes);
    if (r->end)
        r->end(r->self);
    free(r->location);
    free(r->cookie);
    free(r->download);
    memset(r, 0, sizeof *r);
}

void desk_reply_bytes(desk_reply *r, const char *type, void *bytes, size_t size)
{
    desk_reply_clear(r);
    r->status = MHD_HTTP_OK;
    r->type = type;
    r->bytes = bytes;
    r->size = size;
}

void desk_reply_static(desk_reply *r, const char *type, const void *bytes, size_t size)
{
    desk_reply_bytes(r, type, (void *)(uintptr_t)bytes, size);
    r->fixed = true;
}

void desk_reply_json(desk_reply *r, json_object *o)
{
    const char *text =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *clean = text ? mf_utf8_clean(text) : NULL;

    json_object_put(o);
    if (clean)
        desk_reply_bytes(r, "application/json", clean, strlen(clean));
    else
        desk_reply_error(r, mf_no_memory(0, "a reply"));
}

void desk_reply_lasting(desk_reply *r)
{
    r->lasting = true;
}

/* Letters, digits and the like alone: the name is quoted in a header. */
void desk_reply_download(desk_reply *r, const char *name)
{
    free(r->download);
    r->download = strdup(name);
    for (char *c = r->download; c && *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-=", *c))
            *c = '_';
}

void desk_reply_stream(desk_reply *r, const char *type,
                       size_t (*read)(void *self, char *to, size_t room), void (*end)(void *self),
                       void *self)
{
    desk_reply_clear(r);
    r->status = MHD_HTTP_OK;
    r->type = type;
    r->read = read;
    r->end = end;
    r->self = self;
}

static unsigned status_of(mf_code code)
{
    switch (code) {
    case MF_NOT_FOUND:
        return MHD_HTTP_NOT_FOUND;
    case MF_INVALID:
    case MF_UNSUPPORTED:
        return MHD_HTTP_BAD_REQUEST;
    case MF_CANCELLED:
        return MHD_HTTP_CONFLICT;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

void desk_reply_error(desk_reply *r, mf_status status)
{
    json_object *o = json_object_new_object();
    unsigned code = status_of(mf_error_code(status));

    char *said = mf_error_text(status);

    desk_put(o, "error", said);
    desk_put(o, "kind", mf_code_text(mf_error_code(status)));
    free(said);
    mf_error_free(status);
    char *text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    if (text)
        desk_reply_bytes(r, "application/json", text, strlen(text));
    else
        desk_reply_static(r, "application/json", "{}", 2);
    r->status = code;
}

json_object *desk_text(const char *text)
{
    char *clean = text ? mf_utf8_clean(text) : NULL;
    json_object *o = clean ? json_object_new_string(clean) : NULL;

    free(clean);
    return o;
}

void desk_put(json_object *o, const char *name, const char *text)
{
    if (text)
        json_object_object_add(o, name, desk_text(text));
}
