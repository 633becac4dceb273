/* config_text.c - a configuration as one text in JSON: what config.h says of SAM2_CONFIG_KEY.
 *
 * Only whole numbers, flags and lists of whole numbers occur, so the reader is that of safetensors'
 * headers: it builds nothing, and refuses what stands behind the object. */
#include "config.h"

#include "../../weights/json_reader.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_TEXT = 65536,  /* bytes that are read: ours have some 300 */
    MOST_NUMBER = 65536 /* of each */
};

/* ---- numbers and flags ----------------------------------------------------------------------- */

typedef struct number {
    const char *key;
    size_t offset; /* of an int64_t in sam2_config */
} number;

static const number NUMBERS[] = {
    {"image_size", offsetof(sam2_config, image)},
    {"heads", offsetof(sam2_config, heads)},
    {"decoder_heads", offsetof(sam2_config, decoder_heads)},
    {"embed", offsetof(sam2_config, embed)},
    {"background", offsetof(sam2_config, background)},
    {"dim", offsetof(sam2_config, dim)},
    {"memories", offsetof(sam2_config, memories)},
    {"memory_dim", offsetof(sam2_config, memory_dim)},
    {"memory_layers", offsetof(sam2_config, memory_layers)},
    {"fuser_layers", offsetof(sam2_config, fuser_layers)},
};

typedef struct flag {
    const char *key;
    size_t offset; /* of a bool */
} flag;

static const flag FLAGS[] = {
    {"object_scores", offsetof(sam2_config, object_scores)},
    {"pointer_time", offsetof(sam2_config, pointer_time)},
    {"no_object_memory", offsetof(sam2_config, no_object_memory)},
};

enum { NUMBER_COUNT = sizeof NUMBERS / sizeof *NUMBERS, FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };

/* ---- writing --------------------------------------------------------------------------------- */

/* `text` has room for all that a configuration can say. */
static void put_list(char *text, const char *key, const int64_t *values, int64_t count)
{
    char *to = text + strlen(text);
    to += sprintf(to, ",\"%s\":[", key);
    for (int64_t i = 0; i < count; i++)
        to += sprintf(to, "%s%lld", i ? "," : "", (long long)values[i]);
    strcpy(to, "]");
}

static void put_config(char *text, const sam2_config *c)
{
    char *to = text;
    for (int i = 0; i < NUMBER_COUNT; i++)
        to += sprintf(to, "%s\"%s\":%lld", i ? "," : "{", NUMBERS[i].key,
                      (long long)*(const int64_t *)((const char *)c + NUMBERS[i].offset));
    for (int i = 0; i < FLAG_COUNT; i++)
        to += sprintf(to, ",\"%s\":%s", FLAGS[i].key,
                      *(const bool *)((const char *)c + FLAGS[i].offset) ? "true" : "false");
    put_list(text, "stages", c->stages, SAM2_STAGES);
    put_list(text, "windows", c->windows, SAM2_STAGES);
    put_list(text, "global_blocks", c->global, c->global_count);
    strcat(text, "}");
}

mf_status sam2_config_describe(const sam2_config *c, mf_artifact *model)
{
    enum { LONGEST = 24 /* "-9223372036854775808" with its key's comma */, KEYS = 512 };
    char text[KEYS + LONGEST * (NUMBER_COUNT + 2 * SAM2_STAGES + SAM2_GLOBAL_MOST)];
    put_config(text, c);
    MF_TRY(mf_artifact_set_text(model, "architecture", "sam2"));
    MF_TRY(mf_artifact_set_text(model, "size", sam2_config_name(c)));
    return mf_artifact_set_text(model, SAM2_CONFIG_KEY, text);
}

/* ---- reading --------------------------------------------------------------------------------- */

static mf_status read_list(json_reader *r, const char *key, int64_t *values, int64_t most,
                           int64_t *count)
{
    size_t items = 0;
    *count = 0;
    for (bool more;;) {
        MF_TRY(mf_within(json_item(r, '[', ']', &items, &more), "%s", key));
        if (!more)
            return MF_OK;
        if (*count == most)
            return mf_fail(MF_INVALID, "%s is not a list of at most %lld numbers", key,
                           (long long)most);
        if (!json_natural(r, &values[*count]) || values[*count] > MOST_NUMBER)
            return mf_fail(MF_INVALID, "%s: not a number from 0 to %d", key, MOST_NUMBER);
        ++*count;
    }
}

static mf_status read_flag(json_reader *r, const char *key, bool *value)
{
    *value = json_next(r, 't');
    const char *rest = *value ? "rue" : "alse";
    const size_t length = strlen(rest);
    if ((!*value && !json_next(r, 'f')) || (size_t)(r->end - r->at) < length ||
        memcmp(r->at, rest, length))
        return mf_fail(MF_INVALID, "%s is neither true nor false", key);
    r->at += length;
    return MF_OK;
}

static mf_status read_value(json_reader *r, const char *key, sam2_config *c, int64_t *windows)
{
    int64_t stages;
    for (int i = 0; i < NUMBER_COUNT; i++)
        if (!strcmp(key, NUMBERS[i].key)) {
            int64_t *value = (int64_t *)((char *)c + NUMBERS[i].offset);
            return json_natural(r, value) && *value <= MOST_NUMBER
                       ? MF_OK
                       : mf_fail(MF_INVALID, "%s is not a number from 0 to %d", key, MOST_NUMBER);
        }
    for (int i = 0; i < FLAG_COUNT; i++)
        if (!strcmp(key, FLAGS[i].key))
            return read_flag(r, key, (bool *)((char *)c + FLAGS[i].offset));
    if (!strcmp(key, "stages"))
        return read_list(r, key, c->stages, SAM2_STAGES, &stages);
    if (!strcmp(key, "windows"))
        return read_list(r, key, c->windows, SAM2_STAGES, windows);
    if (!strcmp(key, "global_blocks"))
        return read_list(r, key, c->global, SAM2_GLOBAL_MOST, &c->global_count);
    return json_skip(r);
}

static mf_status read_object(json_reader *r, sam2_config *c)
{
    size_t items = 0;
    int64_t windows = 0;
    *c = (sam2_config){0};
    if (!json_next(r, '{'))
        return mf_fail(MF_INVALID, "it is not a JSON object");
    r->at--; /* json_item reads the bracket */
    for (bool more;;) {
        char *key;
        MF_TRY(json_item(r, '{', '}', &items, &more));
        if (!more)
            break;
        MF_TRY(json_text(r, &key));
        MF_TRY(json_expect(r, ':'));
        MF_TRY(read_value(r, key, c, &windows));
    }
    if (!json_ended(r))
        return json_damaged(r, "something stands behind the JSON object");
    if (windows != 0 && windows != SAM2_STAGES)
        return mf_fail(MF_INVALID, "windows are %lld, not %d", (long long)windows, SAM2_STAGES);
    return MF_OK;
}

static mf_status read_text(const char *text, sam2_config *c)
{
    const size_t length = strlen(text);
    if (length > MOST_TEXT)
        return mf_fail(MF_INVALID, "%s has %zu bytes; at most %d are read", SAM2_CONFIG_KEY, length,
                       MOST_TEXT);
    char *own = strdup(text); /* texts are decoded where they stand */
    if (!own)
        return mf_no_memory(length + 1, "a model's sizes");
    mf_status status = read_object(&(json_reader){own, own, own + length}, c);
    free(own);
    return mf_within(status, "%s", SAM2_CONFIG_KEY);
}

mf_status sam2_config_said(const char *text, sam2_config *said)
{
    sam2_config all;
    MF_TRY(read_text(text, &all));
    *said = (sam2_config){.image = all.image,
                          .heads = all.heads,
                          .decoder_heads = all.decoder_heads,
                          .global_count = all.global_count};
    memcpy(said->windows, all.windows, sizeof all.windows);
    memcpy(said->global, all.global, sizeof all.global);
    return MF_OK;
}

mf_status sam2_config_of(const mf_artifact *model, sam2_config *c)
{
    const char *architecture = mf_artifact_text(model, "architecture");
    const char *text = mf_artifact_text(model, SAM2_CONFIG_KEY);
    if (!architecture || strcmp(architecture, "sam2") || !text)
        return mf_hint(mf_fail(MF_INVALID, "the model is %s, not a SAM 2",
                               architecture ? architecture : "of no known architecture"),
                       "load one with model.load; 'massflow models' says where they come from");
    MF_TRY(read_text(text, c));
    if (c->dim < 8 || c->embed < 1)
        return mf_fail(MF_INVALID, "the model's attribute %s lacks its sizes", SAM2_CONFIG_KEY);
    return sam2_config_check(c);
}
