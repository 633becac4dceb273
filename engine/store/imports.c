/* imports.c - where imported actions came from. */
#include "store/internal.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the record of an import");
}

/* ---- recording ---- */

typedef struct record {
    mf_import *import;
    const uint8_t *sum;
} record;

static mf_status insert(mf__connection *c, void *arg)
{
    const record *r = arg;
    mf_import *i = r->import;
    i->imported = mf__now();
    MF_TRY(mf__exec(c,
                    "INSERT INTO import (file, sum, imported, user, exported, host, exporter)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    "tdititt", i->file, r->sum, i->imported, i->user, i->exported, i->host,
                    i->exporter));
    i->num = sqlite3_last_insert_rowid(c->db);
    return MF_OK;
}

mf_status mf__record_import(mf_store *store, mf_import *import, const uint8_t sum[MF_DIGEST_BYTES])
{
    record r = {import, sum};
    return mf_within(mf__write(store, insert, &r), "while recording an import");
}

/* ---- reading ---- */

void mf_import_list_free(mf_import *imports, size_t count)
{
    for (size_t i = 0; imports && i < count; i++) {
        free(imports[i].file);
        free(imports[i].user);
        free(imports[i].host);
        free(imports[i].exporter);
    }
    free(imports);
}

static char *column_text(sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    return strdup(text ? (const char *)text : "");
}

static mf_status take(sqlite3_stmt *s, mf_import **imports, size_t *count)
{
    mf_import *grown = mf_list_more(*imports, *count, sizeof *grown);
    if (!grown)
        return no_memory();
    *imports = grown;
    mf_import *i = &grown[*count];
    *i = (mf_import){.num = sqlite3_column_int64(s, 0),
                     .file = column_text(s, 1),
                     .imported = sqlite3_column_int64(s, 2),
                     .user = column_text(s, 3),
                     .exported = sqlite3_column_int64(s, 4),
                     .host = column_text(s, 5),
                     .exporter = column_text(s, 6),
                     .actions = sqlite3_column_int64(s, 7)};
    ++*count;
    return i->file && i->user && i->host && i->exporter ? MF_OK : no_memory();
}

/* All, or the one of that number. */
static mf_status read_imports(mf__connection *c, int64_t num, mf_import **imports, size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT num, file, imported, user, exported, host, exporter,"
                       " (SELECT count(*) FROM action a WHERE a.import = i.num AND a.import <> 0)"
                       " FROM import i WHERE ?1 = 0 OR num = ?1 ORDER BY num",
                       &s, "i", num));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = take(s, imports, count);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status get(mf_store *store, int64_t num, mf_import **imports, size_t *count)
{
    mf__reader *r;
    *imports = NULL;
    *count = 0;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = read_imports(r->index, num, imports, count);
    mf__reader_put(store, r);
    if (status) {
        mf_import_list_free(*imports, *count);
        *imports = NULL;
        *count = 0;
    }
    return status;
}

mf_status mf_store_list_imports(mf_store *store, mf_import **imports, size_t *count)
{
    return get(store, 0, imports, count);
}

mf_status mf_store_get_import(mf_store *store, int64_t num, mf_import **import)
{
    size_t count;
    *import = NULL;
    return num > 0 ? get(store, num, import, &count) : MF_OK;
}
