/* compare.c - the tables, indexes, views and triggers that a file has, against those that its
 * schema version makes. SQLite runs what a schema holds: a trigger, a view in a table's place, an
 * expression of an index or a generated column. So it is compared before any statement uses it.
 *
 * Texts are compared word by word: blanks do not count, nor do quotes around a plain name, which
 * versions of SQLite set differently where a table is renamed. */
#include "store/internal.h"

#include <massflow/memory.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct object {
    char *type, *name; /* "table", "index", "view", "trigger" */
    char *text;        /* table it belongs to, and its statement, in the form that is compared */
} object;

typedef struct objects {
    object *items;
    size_t count;
} objects;

static void objects_clear(objects *o)
{
    for (size_t i = 0; i < o->count; i++) {
        free(o->items[i].type);
        free(o->items[i].name);
        free(o->items[i].text);
    }
    free(o->items);
    *o = (objects){0};
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The end of what `quote` began at sql[0]; a quote inside is doubled. */
static const char *quoted_end(const char *sql, char quote)
{
    const char *s = sql + 1;
    while (*s && (*s != quote || s[1] == quote))
        s += *s == quote ? 2 : 1;
    return *s ? s + 1 : s;
}

/* Names of ours are in small letters, SQL's words in capitals: so a quoted name without its quotes
 * can't be taken for one of those. */
static bool is_plain(const char *from, const char *to)
{
    for (const char *s = from; s < to; s++)
        if (!islower((unsigned char)*s) && *s != '_' && !isdigit((unsigned char)*s))
            return false;
    return from < to;
}

char *mf__schema_words(const char *sql)
{
    char *words = malloc(2 * strlen(sql) + 1), *to = words;
    if (!words)
        return NULL;
    for (const char *s = sql, *end; *s; s = end) {
        const char *from = s;
        end = s + 1;
        if (isspace((unsigned char)*s))
            continue;
        if (*s == '"' || *s == '\'' || *s == '`')
            end = quoted_end(s, *s);
        const char *to_copy = end;
        if (*s == '"' && end - s > 2 && is_plain(s + 1, end - 1)) {
            from++;
            to_copy--;
        } else if (is_word(*s)) {
            while (is_word(*end))
                end++;
            to_copy = end;
        }
        to = mempcpy(to, from, (size_t)(to_copy - from));
        *to++ = ' ';
    }
    *to = 0;
    return words;
}

static char *object_text(const char *table, const char *sql)
{
    char *words = mf__schema_words(sql), *text = NULL;
    if (words && asprintf(&text, "%s: %s", table, words) < 0)
        text = NULL;
    free(words);
    return text;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const object *x = a, *y = b;
    int order = strcmp(x->type, y->type);
    return order ? order : strcmp(x->name, y->name);
}

static const char *column(sqlite3_stmt *s, int i)
{
    const char *text = (const char *)sqlite3_column_text(s, i);
    return text ? text : "";
}

static bool add(objects *o, sqlite3_stmt *s)
{
    object *grown = mf_list_more(o->items, o->count, sizeof *grown);
    if (!grown)
        return false;
    o->items = grown;
    object *item = &o->items[o->count++];
    *item = (object){strdup(column(s, 0)), strdup(column(s, 1)),
                     object_text(column(s, 2), column(s, 3))};
    return item->type && item->name && item->text;
}

/* All that a database holds, in order. Sorted here: SQL that sorts would need more of SQLite. */
static mf_status read_objects(sqlite3 *db, mf__connection *c, objects *o)
{
    sqlite3_stmt *s = NULL;
    int code =
        sqlite3_prepare_v2(db, "SELECT type, name, tbl_name, sql FROM sqlite_master", -1, &s, NULL);
    bool memory = true;
    while (code == SQLITE_OK && memory && (code = sqlite3_step(s)) == SQLITE_ROW) {
        memory = add(o, s);
        code = SQLITE_OK;
    }
    mf_status status = MF_OK;
    if (!memory)
        status = mf_no_memory(0, "looking at a cache");
    else if (code != SQLITE_DONE)
        status = c ? mf__sql_failed(c) : mf_fail(MF_INTERNAL, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(s);
    if (!status && o->count)
        qsort(o->items, o->count, sizeof *o->items, by_name);
    return status;
}

/* What the scripts make, in memory. */
static mf_status make_expected(const char *const *scripts, int64_t version, objects *o)
{
    sqlite3 *db = NULL;
    int code = sqlite3_open_v2(
        ":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    for (int64_t i = 0; i < version && code == SQLITE_OK; i++)
        code = sqlite3_exec(db, scripts[i], NULL, NULL, NULL);
    mf_status status = code == SQLITE_OK ? read_objects(db, NULL, o)
                                         : mf_fail(MF_INTERNAL, "the schema cannot be made: %s",
                                                   sqlite3_errmsg(db));
    sqlite3_close(db);
    return status;
}

/* Made once for each version of each file, and kept: every connection is compared. */
static mf_status find_expected(const char *const *scripts, int64_t version, const objects **wanted)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        const char *const *scripts;
        int64_t version;
        objects made;
    } kept[2 * (MF__SCHEMA + 1)];
    mf_status status = MF_OK;
    size_t i = 0;
    pthread_mutex_lock(&lock);
    while (kept[i].scripts && (kept[i].scripts != scripts || kept[i].version != version))
        i++;
    if (!kept[i].scripts) {
        status = make_expected(scripts, version, &kept[i].made);
        if (status) {
            objects_clear(&kept[i].made);
        } else {
            kept[i].version = version;
            kept[i].scripts = scripts;
        }
    }
    *wanted = &kept[i].made;
    pthread_mutex_unlock(&lock);
    return status;
}

/* ---- comparing ------------------------------------------------------------------------------- */

#define REPLACE                                                                                    \
    "`massflow cache repair` makes a new file of the rows that massflow knows; or delete the "     \
    "cache"

/* Names come from the file: what is none is not shown as it stands. */
static const char *shown(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || (unsigned char)name[i] >= 0x7f)
            return "(a name that can't be shown)";
    return length > 80 ? "(a long name)" : name;
}

static mf_status extra(const mf__connection *c, const object *o)
{
    return mf_hint(mf_fail(MF_CORRUPT, "'%s' holds %s %s '%s' that massflow did not make", c->path,
                           *o->type == 'i' ? "an" : "a", shown(o->type), shown(o->name)),
                   REPLACE);
}

static mf_status lacking(const mf__connection *c, const object *o)
{
    return mf_hint(
        mf_fail(MF_CORRUPT, "'%s' is damaged: it lacks the %s '%s'", c->path, o->type, o->name),
        MF__REPAIR);
}

static mf_status other(const mf__connection *c, const object *o)
{
    return mf_hint(mf_fail(MF_CORRUPT, "the %s '%s' of '%s' is not as massflow makes it", o->type,
                           o->name, c->path),
                   REPLACE);
}

static mf_status compare(const mf__connection *c, const objects *has, const objects *wanted)
{
    size_t i = 0, k = 0;
    while (i < has->count || k < wanted->count) {
        int order = i == has->count      ? 1
                    : k == wanted->count ? -1
                                         : by_name(&has->items[i], &wanted->items[k]);
        if (order < 0)
            return extra(c, &has->items[i]);
        if (order > 0)
            return lacking(c, &wanted->items[k]);
        if (strcmp(has->items[i].text, wanted->items[k].text))
            return other(c, &wanted->items[k]);
        i++;
        k++;
    }
    return MF_OK;
}

mf_status mf__schema_compare(mf__connection *c, const char *const *scripts, int64_t version)
{
    objects has = {0};
    const objects *wanted;
    mf_status status = read_objects(c->db, c, &has);
    if (!status)
        status = find_expected(scripts, version, &wanted);
    if (!status)
        status = compare(c, &has, wanted);
    objects_clear(&has);
    return status;
}

bool mf__schema_plain(mf__connection *c, const char *table, const char *sql)
{
    sqlite3_stmt *s = NULL;
    bool plain = false;
    if (sqlite3_prepare_v2(c->db,
                           "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
                           " AND rootpage > 0",
                           -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
        if (sqlite3_step(s) == SQLITE_ROW) {
            char *has = mf__schema_words(column(s, 0)), *wanted = mf__schema_words(sql);
            plain = has && wanted && !strcmp(has, wanted);
            free(has);
            free(wanted);
        }
    }
    sqlite3_finalize(s);
    return plain;
}
