/* names.h - what the values of a label map are called, and in which colour they are drawn.
 *
 * An artifact that holds label values (labels, sample, embedding, model, masks, probabilities) may
 * have the text attribute `names`: a line "VALUE=NAME" or "VALUE=NAME #rrggbb" for each value that
 * has a name, in ascending order of value. Value 0 is background and has none. An artifact without
 * names has no such attribute.
 *
 * Behind them a line "+VALUE+VALUE...=NAME" for each set of values that has a name (since 1.7),
 * such as the regions of a data set of nnU-Net, which may overlap, in an order that its maker
 * chose. */
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

/* ---- sets of values -------------------------------------------------------------------------- */

/* Values that have a name together: "whole tumor" is 1, 2 and 3. */
typedef struct mf_label_set {
    char *name;      /* as the name of a value */
    int64_t *values; /* ascending, 1 to 2147483647 */
    size_t count;    /* 1 to 1024 */
} mf_label_set;

/* Sets in the order of their maker; begins as {0}. mf_label_sets_clear frees what it holds. */
typedef struct mf_label_sets {
    mf_label_set *v; /* owned */
    size_t count;    /* at most 1024 */
} mf_label_sets;

MF_API void mf_label_sets_clear(mf_label_sets *sets); /* frees and empties it */
/* Adds a set; all is copied. Fails where its name is none or is there already with other values. */
MF_API MF_MUST_USE mf_status mf_label_sets_put(mf_label_sets *sets, const char *name,
                                               const int64_t *values, size_t count);
/* Adds the sets of a text as mf_names_parse takes it: its entries whose value is "1+2+3" or "+3".
 */
MF_API MF_MUST_USE mf_status mf_label_sets_parse(const char *text, mf_label_sets *sets);
/* Of that name; NULL where there is none. */
MF_API const mf_label_set *mf_label_sets_find(const mf_label_sets *sets, const char *name);
/* Those whose values are all among these, as a copy: *kept. */
MF_API MF_MUST_USE mf_status mf_label_sets_only(const mf_label_sets *sets, const int64_t *values,
                                                size_t count, mf_label_sets *kept);
/* The sets that an artifact has; none is no error. */
MF_API MF_MUST_USE mf_status mf_artifact_label_sets(const mf_artifact *a, mf_label_sets *sets);
/* Sets names and sets together; of neither nothing is set. */
MF_API MF_MUST_USE mf_status mf_artifact_set_named(mf_artifact *a, const mf_names *names,
                                                   const mf_label_sets *sets);
/* As mf_labels_values, where the name of a set stands for all its values. A value is there once. */
MF_API MF_MUST_USE mf_status mf_labels_values_of(const mf_labels *labels, const mf_names *names,
                                                 const mf_label_sets *sets, const char *param,
                                                 int64_t **values, size_t *count);

#ifdef __cplusplus
}
#endif
#endif
