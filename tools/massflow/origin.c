/* origin.c - see origin.h. */
#include "origin.h"
#include "past.h"
#include "workspace.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *origin_file(const mf_import *import)
{
    return *import->file ? import->file : "a file that is not known";
}

/* " by ann", or "" */
static void print_who(const char *before, const char *name)
{
    if (*name)
        printf("%s%s", before, name);
}

static void print_took(const mf_action *a)
{
    char took[32];

    words_seconds(a->seconds, took);
    printf("%s%s%s", took, *a->device ? " on " : "", a->device);
}

static mf_status print_made(mf_store *store, const mf_action *a, const char *node)
{
    char when[32], *maker = NULL;

    MF_TRY(mf_store_maker(store, a->run, a->key, &maker));
    words_time(a->created, when);
    printf("  made %s in ", when);
    print_took(a);
    if (a->run)
        printf(" by run %" PRId64, a->run);
    if (maker && (!node || strcmp(maker, node)))
        printf(" as %s", maker);
    printf("\n");
    free(maker);
    return MF_OK;
}

static void print_import(const mf_import *i, const mf_action *a)
{
    char when[32];

    words_time(i->imported ? i->imported : a->created, when);
    if (!i->imported) {
        printf("  imported %s, when it was not yet recorded from where\n", when);
        return;
    }
    printf("  imported %s", when);
    print_who(" by ", i->user);
    printf(" from %s", origin_file(i));
    if (i->exported) {
        words_time(i->exported, when);
        printf(", written %s", when);
        print_who(" by ", i->exporter);
        print_who(" on host ", i->host);
    }
    printf("\n");
}

mf_status origin_print(mf_store *store, const mf_action *a, const char *node)
{
    mf_import *import;
    char when[32];

    if (!a->import)
        return print_made(store, a, node);
    MF_TRY(mf_store_get_import(store, a->import, &import));
    if (import)
        print_import(import, a);
    printf("  made there");
    if (a->created && import && import->imported) {
        words_time(a->created, when);
        printf(" %s", when);
    }
    print_who(" on host ", a->host);
    printf(" in ");
    print_took(a);
    printf("\n");
    mf_import_list_free(import, import ? 1 : 0);
    return MF_OK;
}
