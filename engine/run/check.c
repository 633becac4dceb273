/* check.c - an artifact against its type's declaration, before anybody else sees it. */
#include "run/check.h"

#include <stdio.h>
#include <string.h>

/* The next word of a list joined by spaces; false at its end. */
static bool next_word(const char **list, char *word, size_t size)
{
    size_t length;

    if (!*list)
        return false;
    *list += strspn(*list, " ");
    length = strcspn(*list, " ");
    if (length == 0)
        return false;
    snprintf(word, size, "%.*s", (int)length, *list);
    *list += length;
    return true;
}

static mf_status check_array(const mf_artifact *a, char *word)
{
    char *colon = strchr(word, ':');
    mf_array_info info;
    mf_dtype dtype;

    if (colon)
        *colon = '\0';
    if (!mf_artifact_find(a, word, &info))
        return mf_fail(MF_INTERNAL, "a %s needs an array '%s'", mf_artifact_type(a), word);
    if (colon && mf_dtype_parse(colon + 1, &dtype) && info.dtype != dtype)
        return mf_fail(MF_INTERNAL, "array '%s' of a %s is %s, not %s", word, mf_artifact_type(a),
                       mf_dtype_text(info.dtype), colon + 1);
    return MF_OK;
}

static bool has_attribute(const mf_artifact *a, const char *name)
{
    mf_attribute_kind kind;

    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++) {
        if (strcmp(mf_artifact_attribute(a, i, &kind), name) == 0)
            return true;
    }
    return false;
}

mf_status mf_check_artifact(const mf_registry *registry, const mf_artifact *a)
{
    const mf_type *type = mf_registry_type(registry, mf_artifact_type(a));
    const char *list;
    char word[128];

    if (!type)
        return mf_fail(MF_INTERNAL, "no plugin declares the type '%s'", mf_artifact_type(a));
    for (list = type->arrays; next_word(&list, word, sizeof word);)
        MF_TRY(check_array(a, word));
    for (list = type->attributes; next_word(&list, word, sizeof word);) {
        if (!has_attribute(a, word))
            return mf_fail(MF_INTERNAL, "a %s needs an attribute '%s'", mf_artifact_type(a), word);
    }
    return MF_OK;
}
