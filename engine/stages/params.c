/* params.c - text to parameter structs, and parameter structs to canonical JSON.
 *
 * The JSON is made from the struct, not from the text, so "1e-4" and "0.0001" are one parameter. */
#include "stages/params.h"

#include "base/arena.h"
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mf_params {
    const mf_stage *stage;
    mf_arena *arena; /* holds texts and lists */
    char *values;    /* the struct; its own allocation, so that it is aligned and sized as asked */
    bool *set;       /* by index in stage->params */
    char *json, *base_json;
    struct {
        const char *name, *path;
    } * paths;
    size_t path_count;
    atomic_int refs;
};

size_t mf_param_field_size(mf_param_kind kind)
{
    switch (kind) {
    case MF_PARAM_BOOL:
        return sizeof(bool);
    case MF_PARAM_INT:
        return sizeof(int64_t);
    case MF_PARAM_REAL:
        return sizeof(double);
    case MF_PARAM_TEXT:
    case MF_PARAM_CHOICE:
    case MF_PARAM_PATH:
        return sizeof(char *);
    case MF_PARAM_INT3:
        return sizeof(mf_int3);
    case MF_PARAM_REAL3:
        return sizeof(mf_real3);
    case MF_PARAM_INTS:
        return sizeof(mf_ints);
    case MF_PARAM_REALS:
        return sizeof(mf_reals);
    case MF_PARAM_LABELS:
        return sizeof(mf_labels);
    case MF_PARAM_END:
        break;
    }
    return 0;
}

bool mf_param_list(mf_param_kind kind)
{
    return kind == MF_PARAM_INT3 || kind == MF_PARAM_REAL3 || kind == MF_PARAM_INTS ||
           kind == MF_PARAM_REALS || kind == MF_PARAM_LABELS;
}

static bool whole(mf_param_kind kind)
{
    return kind == MF_PARAM_INT || kind == MF_PARAM_INT3 || kind == MF_PARAM_INTS;
}

const mf_param *mf_param_find(const mf_stage *stage, const char *name)
{
    for (const mf_param *p = stage->params; p && p->name; p++)
        if (!strcmp(p->name, name))
            return p;
    return NULL;
}

bool mf_param_required(const mf_param *param)
{
    return !param->fallback || param->marks & MF_REQUIRED;
}

char *mf_param_range(const mf_param *p)
{
    mf_text text = {0};
    bool low = p->min > -9e15, high = p->max < 9e15; /* beyond 2^53 no limit is meant */
    if (low && high)
        mf_text_add(&text, "%.15g to %.15g", p->min, p->max);
    else if (low)
        mf_text_add(&text, "at least %.15g", p->min);
    else if (high)
        mf_text_add(&text, "at most %.15g", p->max);
    else
        mf_text_add(&text, "any");
    if (p->unit && *p->unit)
        mf_text_add(&text, " %s", p->unit);
    return mf_text_take(&text);
}

static mf_status outside(const mf_param *p, const char *text)
{
    char *range = mf_param_range(p);
    mf_status status = mf_fail(MF_INVALID, "'%s' is %s; it must be %s", p->name, text, range);
    free(range);
    return status;
}

/* "1,5" is refused with a word, for it is how half of the world's spreadsheets write numbers. */
static mf_status no_number(const mf_param *p, const char *text, const char *what)
{
    mf_status status = mf_fail(MF_INVALID, "'%s' is '%s', which is not %s", p->name, text, what);
    bool comma = strchr(text, ',') && !text[strspn(text, "0123456789+-.,eE")];
    return comma ? mf_hint(status, "decimals are written with a point, as in 1.5") : status;
}

static mf_status parse_int(const mf_param *p, const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    char *end;
    if (!*digits || digits[strspn(digits, "0123456789")])
        return no_number(p, text, "an integer");
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (errno == ERANGE || (double)parsed < p->min || (double)parsed > p->max)
        return outside(p, text);
    *value = parsed;
    return MF_OK;
}

static mf_status parse_real(const mf_param *p, const char *text, double *value)
{
    char *end = NULL;
    /* strtod alone would take hexadecimal, "nan", "inf" and leading space too. */
    double parsed = strtod(text, &end);
    if (!*text || text[strspn(text, "0123456789+-.eE")] || *end)
        return no_number(p, text, "a number");
    if (!isfinite(parsed) || parsed < p->min || parsed > p->max)
        return outside(p, text);
    *value = parsed == 0 ? 0 : parsed; /* one zero: -0 would be another key */
    return MF_OK;
}

static mf_status parse_bool(const mf_param *p, const char *text, bool *value)
{
    *value = !strcmp(text, "true");
    if (!*value && strcmp(text, "false"))
        return mf_fail(MF_INVALID, "'%s' is '%s', which is neither true nor false", p->name, text);
    return MF_OK;
}

bool mf_param_word(const mf_param *p, const char **rest, mf_choice *choice)
{
    const char *ends = p->marks & MF_ANY_CASE ? "|=" : "|";
    if (!**rest)
        return false;
    *choice = (mf_choice){.word = *rest, .length = strcspn(*rest, ends)};
    *rest += choice->length;
    choice->others = **rest == '=' ? ++*rest : *rest;
    choice->others_length = strcspn(*rest, "|");
    *rest += choice->others_length;
    *rest += **rest == '|';
    return true;
}

static bool same_word(const mf_param *p, const char *word, size_t length, const char *text)
{
    if (strlen(text) != length)
        return false;
    return p->marks & MF_ANY_CASE ? !strncasecmp(word, text, length) : !strncmp(word, text, length);
}

/* Whether `text` is a word of a choice or one of its other spellings. */
static bool means(const mf_param *p, const mf_choice *c, const char *text)
{
    const char *other = c->others, *end = c->others + c->others_length;
    if (same_word(p, c->word, c->length, text))
        return true;
    while (other < end) {
        size_t length = strcspn(other, "=|");
        if (same_word(p, other, length, text))
            return true;
        other += length + 1;
    }
    return false;
}

static mf_status no_choice(const mf_param *p, const char *text)
{
    mf_arena *scratch = mf_arena_new();
    const char *rest = p->choices, *near, **words = NULL;
    size_t count = 0, room = 0;
    mf_choice c;
    mf_text list = {0};
    mf_status status;
    while (mf_param_word(p, &rest, &c)) {
        words = mf_grow(words, &room, count + 1, sizeof *words);
        words[count] = mf_arena_copy_n(scratch, c.word, c.length);
        mf_text_add(&list, "%s%s", count ? ", " : "", words[count]);
        count++;
    }
    near = mf_nearest(text, words, count);
    status =
        near ? mf_fail(MF_INVALID, "'%s' is '%s', which is none of %s; did you mean '%s'?", p->name,
                       text, list.data, near)
             : mf_fail(MF_INVALID, "'%s' is '%s', which is none of %s", p->name, text, list.data);
    free(list.data);
    free(words);
    mf_arena_free(scratch);
    return status;
}

static mf_status parse_choice(mf_params *params, const mf_param *p, const char *text,
                              const char **value)
{
    const char *rest = p->choices;
    mf_choice c;
    while (mf_param_word(p, &rest, &c))
        if (means(p, &c, text)) {
            *value = mf_arena_copy_n(params->arena, c.word, c.length);
            return MF_OK;
        }
    return no_choice(p, text);
}

static mf_status parse_path(mf_params *params, const mf_param *p, const char *text,
                            const char *base, const char **value)
{
    *value = NULL;
    if (!*text) {
        if (p->fallback)
            return MF_OK;
        return mf_fail(MF_INVALID, "'%s' is empty; it must name a file or folder", p->name);
    }
    *value = *text == '/' || !base ? mf_arena_copy(params->arena, text)
                                   : mf_arena_print(params->arena, "%s/%s", base, text);
    if (access(*value, F_OK))
        return mf_fail(MF_NOT_FOUND, "'%s' is '%s', but there is no such file or folder", p->name,
                       *value);
    if (access(*value, R_OK))
        return mf_fail(MF_IO, "'%s' is '%s', which cannot be read: %s", p->name, *value,
                       strerror(errno));
    return MF_OK;
}

static mf_status parse_scalar(mf_params *params, const mf_param *p, const char *text,
                              const char *base)
{
    char *field = params->values + p->offset;
    switch (p->kind) {
    case MF_PARAM_BOOL:
        return parse_bool(p, text, (bool *)field);
    case MF_PARAM_INT:
        return parse_int(p, text, (int64_t *)field);
    case MF_PARAM_REAL:
        return parse_real(p, text, (double *)field);
    case MF_PARAM_CHOICE:
        return parse_choice(params, p, text, (const char **)field);
    case MF_PARAM_PATH:
        return parse_path(params, p, text, base, (const char **)field);
    default:
        *(const char **)field = mf_arena_copy(params->arena, text);
        return MF_OK;
    }
}

/* A number is a value; anything else is a name. */
static mf_status parse_label(mf_params *params, const mf_param *p, const char *text,
                             mf_label *label)
{
    const char *digits = text + (*text == '-' || *text == '+');
    *label = (mf_label){0};
    if (*digits && !digits[strspn(digits, "0123456789")])
        return parse_int(p, text, &label->value);
    if (!*text)
        return mf_fail(MF_INVALID, "'%s': a label has an empty name", p->name);
    label->name = mf_arena_copy(params->arena, text);
    return MF_OK;
}

static mf_status parse_labels(mf_params *params, const mf_param *p, const char *const *texts,
                              size_t count, int *at)
{
    mf_label *elements = mf_arena_alloc(params->arena, count, sizeof *elements);
    for (size_t i = 0; i < count; i++) {
        *at = (int)i;
        MF_TRY(parse_label(params, p, texts[i], &elements[i]));
    }
    *at = -1;
    *(mf_labels *)(params->values + p->offset) = (mf_labels){elements, count};
    return MF_OK;
}

static mf_status parse_list(mf_params *params, const mf_param *p, const char *const *texts,
                            size_t count, int *at)
{
    bool ints = whole(p->kind), triple = p->kind == MF_PARAM_INT3 || p->kind == MF_PARAM_REAL3;
    char *field = params->values + p->offset;
    if (triple && count != 3)
        return mf_fail(MF_INVALID, "'%s' takes 3 numbers (x, y, z), not %zu", p->name, count);
    char *elements = triple ? field : mf_arena_alloc(params->arena, count, 8);
    for (size_t i = 0; i < count; i++) {
        *at = (int)i;
        if (ints)
            MF_TRY(parse_int(p, texts[i], (int64_t *)elements + i));
        else
            MF_TRY(parse_real(p, texts[i], (double *)elements + i));
    }
    *at = -1;
    if (p->kind == MF_PARAM_INTS)
        *(mf_ints *)field = (mf_ints){(const int64_t *)elements, count};
    else if (p->kind == MF_PARAM_REALS)
        *(mf_reals *)field = (mf_reals){(const double *)elements, count};
    return MF_OK;
}

mf_status mf_params_set(mf_params *params, const mf_param *p, bool list, const char *const *texts,
                        size_t count, const char *base, int *at)
{
    int where;
    if (!at)
        at = &where;
    *at = -1;
    if (mf_param_list(p->kind) && !list)
        return mf_fail(MF_INVALID, "'%s' takes a list of %s in brackets, not one value", p->name,
                       p->kind == MF_PARAM_LABELS ? "labels" : "numbers");
    if (!mf_param_list(p->kind) && list)
        return mf_fail(MF_INVALID, "'%s' takes one value, not a list", p->name);
    if (p->kind == MF_PARAM_LABELS)
        MF_TRY(parse_labels(params, p, texts, count, at));
    else if (list)
        MF_TRY(parse_list(params, p, texts, count, at));
    else
        MF_TRY(parse_scalar(params, p, texts[0], base));
    params->set[p - params->stage->params] = true;
    return MF_OK;
}

/* A default is written as in a graph: "[1, 1, 1]" or one scalar. */
mf_status mf_params_fallback(mf_params *params, const mf_param *p)
{
    const char *text = p->fallback;
    if (!mf_param_list(p->kind)) {
        if (p->kind == MF_PARAM_PATH && *text)
            return mf_fail(MF_INVALID, "the default of path '%s' must be empty or missing",
                           p->name);
        return mf_params_set(params, p, false, &text, 1, NULL, NULL);
    }
    size_t length = strlen(text);
    if (length < 2 || text[0] != '[' || text[length - 1] != ']')
        return mf_fail(MF_INVALID, "the default of list '%s' must be in brackets", p->name);
    const char **texts = NULL;
    size_t count = 0, room = 0;
    char *copy = mf_arena_copy_n(params->arena, text + 1, length - 2), *rest = copy, *word;
    while ((word = strtok_r(rest, ", ", &rest))) {
        texts = mf_grow(texts, &room, count + 1, sizeof *texts);
        texts[count++] = word;
    }
    mf_status status = mf_params_set(params, p, true, texts, count, NULL, NULL);
    free(texts);
    return status;
}

static size_t param_count(const mf_stage *stage)
{
    size_t count = 0;
    while (stage->params && stage->params[count].name)
        count++;
    return count;
}

mf_params *mf_params_empty(const mf_stage *stage)
{
    mf_params *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->stage = stage;
    p->arena = mf_arena_new();
    p->refs = 1;
    p->values = mf_arena_alloc(p->arena, stage->params_size, 1);
    p->set = mf_arena_alloc(p->arena, param_count(stage), sizeof *p->set);
    return p;
}

mf_status mf_params_new(const mf_stage *stage, mf_params **params)
{
    mf_status status = MF_OK;
    *params = mf_params_empty(stage);
    if (!*params)
        return mf_no_memory(0, "the parameters of %s", stage->name);
    for (const mf_param *p = stage->params; p && p->name && !status; p++)
        if (!mf_param_required(p))
            status = mf_params_fallback(*params, p);
    if (status) {
        mf_params_unref(*params);
        *params = NULL;
    }
    return status;
}

static void copy_labels(mf_params *to, mf_labels *list)
{
    mf_label *elements = mf_arena_alloc(to->arena, list->count, sizeof *elements);
    for (size_t i = 0; i < list->count; i++) {
        elements[i] = list->v[i];
        if (elements[i].name)
            elements[i].name = mf_arena_copy(to->arena, elements[i].name);
    }
    list->v = elements;
}

mf_status mf_params_copy(const mf_params *from, mf_params **params)
{
    const mf_stage *stage = from->stage;
    mf_params *to = mf_params_empty(stage);
    *params = to;
    if (!to)
        return mf_no_memory(0, "the parameters of %s", stage->name);
    memcpy(to->values, from->values, stage->params_size);
    memcpy(to->set, from->set, param_count(stage) * sizeof *to->set);
    for (const mf_param *p = stage->params; p && p->name; p++) {
        char *field = to->values + p->offset;
        const char **text = (const char **)field;
        if ((p->kind == MF_PARAM_TEXT || p->kind == MF_PARAM_CHOICE || p->kind == MF_PARAM_PATH) &&
            *text)
            *text = mf_arena_copy(to->arena, *text);
        if (p->kind == MF_PARAM_INTS || p->kind == MF_PARAM_REALS) {
            mf_ints *list = (mf_ints *)field; /* both kinds: 8-byte elements and a count */
            int64_t *elements = mf_arena_alloc(to->arena, list->count, 8);
            if (list->count)
                memcpy(elements, list->v, list->count * 8);
            list->v = elements;
        }
        if (p->kind == MF_PARAM_LABELS)
            copy_labels(to, (mf_labels *)field);
    }
    return MF_OK;
}

bool mf_params_missing(const mf_params *params, const mf_param *param)
{
    return !params->set[param - params->stage->params];
}

/* ---- canonical JSON -------------------------------------------------------------------------- */

static json_object *json_real(double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return json_object_new_double_s(value, text);
}

static json_object *json_value(const mf_params *params, const mf_param *p)
{
    const void *field = params->values + p->offset;
    const mf_ints *ints = field;
    const mf_reals *reals = field;
    const mf_labels *labels = field;
    const char *text;
    json_object *list;
    switch (p->kind) {
    case MF_PARAM_BOOL:
        return json_object_new_boolean(*(const bool *)field);
    case MF_PARAM_INT:
        return json_object_new_int64(*(const int64_t *)field);
    case MF_PARAM_REAL:
        return json_real(*(const double *)field);
    case MF_PARAM_INT3:
        list = json_object_new_array();
        for (size_t i = 0; i < 3; i++)
            json_object_array_add(list, json_object_new_int64(((const mf_int3 *)field)->v[i]));
        return list;
    case MF_PARAM_REAL3:
        list = json_object_new_array();
        for (size_t i = 0; i < 3; i++)
            json_object_array_add(list, json_real(((const mf_real3 *)field)->v[i]));
        return list;
    case MF_PARAM_INTS:
        list = json_object_new_array();
        for (size_t i = 0; i < ints->count; i++)
            json_object_array_add(list, json_object_new_int64(ints->v[i]));
        return list;
    case MF_PARAM_REALS:
        list = json_object_new_array();
        for (size_t i = 0; i < reals->count; i++)
            json_object_array_add(list, json_real(reals->v[i]));
        return list;
    case MF_PARAM_LABELS: /* without names as a list of integers */
        list = json_object_new_array();
        for (size_t i = 0; i < labels->count; i++)
            json_object_array_add(list, labels->v[i].name
                                            ? json_object_new_string(labels->v[i].name)
                                            : json_object_new_int64(labels->v[i].value));
        return list;
    default:
        text = *(const char *const *)field;
        return json_object_new_string(text ? text : "");
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const mf_param *const *)a)->name, (*(const mf_param *const *)b)->name);
}

static char *json_text(mf_params *params, const mf_param **sorted, size_t count, unsigned without)
{
    json_object *object = json_object_new_object();
    for (size_t i = 0; i < count; i++)
        if (!(sorted[i]->marks & without) && sorted[i]->kind != MF_PARAM_PATH)
            json_object_object_add(object, sorted[i]->name, json_value(params, sorted[i]));
    char *text = mf_arena_copy(
        params->arena, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
    return text;
}

mf_status mf_params_finish(mf_params *params)
{
    const mf_stage *stage = params->stage;
    size_t count = param_count(stage);
    bool extendable = false;
    for (size_t i = 0; i < count; i++) {
        if (!params->set[i])
            return mf_fail(MF_INVALID, "required parameter '%s' is missing", stage->params[i].name);
        extendable |= (stage->params[i].marks & MF_EXTENDABLE) != 0;
    }
    if (stage->check)
        MF_TRY(stage->check(params->values));
    const mf_param **sorted = mf_arena_alloc(params->arena, count, sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &stage->params[i];
    qsort(sorted, count, sizeof *sorted, by_name);
    params->paths = mf_arena_alloc(params->arena, count, sizeof *params->paths);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i]->kind != MF_PARAM_PATH || sorted[i]->marks & MF_NO_CACHE)
            continue;
        const char *path = *(const char *const *)(params->values + sorted[i]->offset);
        if (!path)
            continue;
        params->paths[params->path_count].name = sorted[i]->name;
        params->paths[params->path_count++].path = path;
    }
    params->json = json_text(params, sorted, count, MF_NO_CACHE);
    params->base_json =
        extendable ? json_text(params, sorted, count, MF_NO_CACHE | MF_EXTENDABLE) : params->json;
    return MF_OK;
}

mf_params *mf_params_ref(const mf_params *params)
{
    mf_params *p = (mf_params *)params;
    p->refs++;
    return p;
}

void mf_params_unref(const mf_params *params)
{
    mf_params *p = (mf_params *)params;
    if (!p || --p->refs)
        return;
    mf_arena_free(p->arena);
    free(p);
}

const void *mf_params_struct(const mf_params *params)
{
    return params->values;
}

const char *mf_params_json(const mf_params *params)
{
    return params->json;
}

const char *mf_params_base_json(const mf_params *params)
{
    return params->base_json;
}

size_t mf_params_path_count(const mf_params *params)
{
    return params->path_count;
}

const char *mf_params_path(const mf_params *params, size_t i, const char **name)
{
    if (name)
        *name = params->paths[i].name;
    return params->paths[i].path;
}

char *mf_param_show(const mf_params *params, const mf_param *param)
{
    json_object *value = json_value(params, param);
    char *text = strdup(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(value);
    if (!text)
        abort();
    return text;
}
