/* names.h - what the values of a label map are called, and in which colour they are drawn.
 *
 * An artifact that holds label values (labels, sample, embedding, model, masks, probabilities) may
 * have the text attribute `names`: a line "VALUE=NAME" or "VALUE=NAME #rrggbb" for each value that
 * has a name, in ascending order of value. Value 0 is background and has none. An artifact without
 * names has no such attribute. */
#ifndef MASSFLOW_NAMES_H
#define MASSFLOW_NAMES_H

#include <massflow/artifact.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MF_NO_COLOUR (-1) /* in the place of a colour: by value */

/* One value that has a name. */
typedef struct mf_name {
    int64_t value;  /* 1 to 2147483647 */
    char *name;     /* UTF-8, one line, neither empty nor with a space at an end */
    int32_t colour; /* 0xrrggbb, or MF_NO_COLOUR */
} mf_name;

/* Names in ascending order of value; begins as {0}. mf_names_clear frees what it holds. */
typedef struct mf_names {
    mf_name *v;   /* owned */
    size_t count; /* at most 65536 */
} mf_names;

/* Labels that a parameter chooses (MF_LABELS in stage.h): each by its value or by its name. */
typedef struct mf_label {
    const char *name; /* NULL: by value */
    int64_t value;    /* where it is given by value */
} mf_label;
/* A list of them. */
typedef struct mf_labels {
    const mf_label *v; /* borrowed */
    size_t count;      /* of v */
} mf_labels;

MF_API void mf_names_clear(mf_names *names); /* frees and empties it */
/* Names a value, or names it anew; the text is copied. Value 0 is left out. Fails where the value
 * or the name is none. */
MF_API MF_MUST_USE mf_status mf_names_put(mf_names *names, int64_t value, const char *name,
                                          int32_t colour);
/* Adds the names of a text: one "VALUE=NAME" or "VALUE=NAME #rrggbb" a line; or several in one
 * line, a comma or semicolon before each VALUE=. A value that has a name already gets the new one.
 */
MF_API MF_MUST_USE mf_status mf_names_parse(const char *text, mf_names *names);
/* Of a value; NULL where it has no name. */
MF_API const mf_name *mf_names_find(const mf_names *names, int64_t value);
/* Of these values alone, as a copy: *kept, which mf_names_clear frees. */
MF_API MF_MUST_USE mf_status mf_names_only(const mf_names *names, const int64_t *values,
                                           size_t count, mf_names *kept);
/* Adds the names of `more`, which must not contradict: one value with two names, or one name for
 * two values, is an error that says so of `whose` and `other` ("label map truth[case=a]"). Letter
 * case makes no difference; the first colour stays. */
MF_API MF_MUST_USE mf_status mf_names_join(mf_names *names, const mf_names *more, const char *whose,
                                           const char *other);

/* The names that an artifact has; none is no error. Fails where the attribute is not what is
 * written above. mf_names_clear frees them. */
MF_API MF_MUST_USE mf_status mf_artifact_names(const mf_artifact *a, mf_names *names);
/* Of no names nothing is set. */
MF_API MF_MUST_USE mf_status mf_artifact_set_names(mf_artifact *a, const mf_names *names);
/* Gives `to` the names of `from`, where it has any. */
MF_API MF_MUST_USE mf_status mf_artifact_copy_names(mf_artifact *to, const mf_artifact *from);

/* The values that a parameter chooses, in its order; the caller frees values->v. `param` is its
 * name, for errors: a name that is not there (with the nearest that is) or that two values have. */
MF_API MF_MUST_USE mf_status mf_labels_values(const mf_labels *labels, const mf_names *names,
                                              const char *param, int64_t **values, size_t *count);

#ifdef __cplusplus
}
#endif
#endif
