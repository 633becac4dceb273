/* cases.h - what a plugin needs to declare a source of cases: `cases: {KEY: VALUE, ...}` in a graph
 * file, where KEY is the source's name.
 *
 * A source is static data, as a stage is: the engine reads its options from the graph file, checks
 * and documents them, and gives every case the columns that the graph adds. Since interface 1.4. */
#ifndef MASSFLOW_CASES_H
#define MASSFLOW_CASES_H

#include <massflow/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mf_cases mf_cases; /* opaque: the cases of one source while they are read */
/* Opaque: a text, a list or a mapping in a graph file or in a file that a source reads; it knows
 * its place, for errors. It lives as long as the graph, and so does what is read from it. */
typedef struct mf_entry mf_entry;

/* A column that the source itself gives its cases. A name that ends with * stands for all that
 * begin so. A table of them ends with MF_END. */
typedef struct mf_source_column {
    const char *name, *help; /* help: one line */
} mf_source_column;

/* What a plugin declares to be a source of cases. */
typedef struct mf_case_source {
    /* Letters, digits and _. It is the key that chooses the source, and the name of its first
     * option. No case can have a column of this name. */
    const char *name;
    const char *summary;    /* one line */
    const char *help;       /* more, or NULL */
    const mf_param *params; /* the options; the first has the source's name; ends with MF_END */
    size_t params_size;     /* of the struct that they are read into */
    const mf_source_column *columns; /* beside `id` and `path`; NULL: none */
    /* Adds the cases, in any order. It keeps no global state: several graphs may be read at once.
     * An error without a place of its own (see mf_cases_at) is reported at the source's value in
     * the graph file. */
    mf_status (*read)(mf_cases *cases, const void *params);
} mf_case_source;

/* ---- where things stand ---------------------------------------------------------------------- */

/* The value that the graph file gives an option; the source's own value where it gives none. For
 * the place of an error: its text is as written, with "${x}" in it. */
MF_API const mf_entry *mf_cases_option(const mf_cases *cases, const char *name);
MF_API const char *mf_cases_folder(const mf_cases *cases); /* of the graph file, absolute */

/* ---- files that a source reads ---------------------------------------------------------------
 *
 * Text is UTF-8, or UTF-16 with a byte order mark; it may have at most `limit` bytes and no control
 * characters. What is wrong with it is an error at its place in that file. Nothing that massflow
 * writes replaces a file that was read so. */

/* A list with a text for each line, without its end. */
MF_API MF_MUST_USE mf_status mf_cases_lines(mf_cases *cases, const char *path, size_t limit,
                                            const mf_entry **lines);
/* A JSON or YAML file. */
MF_API MF_MUST_USE mf_status mf_cases_tree(mf_cases *cases, const char *path, size_t limit,
                                           const mf_entry **root);
/* A file or folder that the source reads by itself, and that says which cases there are. */
MF_API void mf_cases_uses(mf_cases *cases, const char *path);

/* What an entry of a read file is. */
typedef enum mf_entry_kind { MF_ENTRY_TEXT, MF_ENTRY_LIST, MF_ENTRY_MAP } mf_entry_kind;
/* Which of the three. The others below answer NULL or 0 for an entry of another kind. */
MF_API mf_entry_kind mf_entry_is(const mf_entry *entry);
MF_API const char *mf_entry_text(const mf_entry *entry); /* NULL of a list and of a mapping */
MF_API size_t mf_entry_count(const mf_entry *entry);     /* items, or keys; 0 of a text */
/* The i-th item, or the value of the i-th key; NULL past the last. */
MF_API const mf_entry *mf_entry_at(const mf_entry *entry, size_t i);
MF_API const mf_entry *mf_entry_key(const mf_entry *entry, size_t i); /* NULL unless a mapping */
/* The value of a key; NULL where there is none. */
MF_API const mf_entry *mf_entry_get(const mf_entry *entry, const char *key);

/* ---- cases ----------------------------------------------------------------------------------- */

/* A new case. `at`: where it is named; NULL: at the source's value. `id`: as a text; NULL: the name
 * of its path without folder and suffix. Its texts are copied. */
MF_API void mf_cases_add(mf_cases *cases, const mf_entry *at, const char *id);
/* A column of the case that was added last. `path` is to exist; a relative one starts from the
 * folder of the file in which the case is named. Relative paths in other columns start from the
 * graph file's folder, as those that it adds itself: make them absolute where that is not meant. */
MF_API void mf_cases_set(mf_cases *cases, const char *column, const char *text);
/* What it comes from, for the error that two cases have one id. Without: its path, or the source's
 * name. */
MF_API void mf_cases_from(mf_cases *cases, const char *text);
/* A text that lives as long as the graph. */
MF_API const char *mf_cases_text(mf_cases *cases, const char *format, ...) MF_PRINTF(2, 3);
/* `text` with what an id cannot hold as _. */
MF_API const char *mf_cases_id(mf_cases *cases, const char *text);

/* ---- what is wrong ---------------------------------------------------------------------------
 *
 * `at` NULL: at the source's value. A hint of an error is shown below it. */

/* Gives an error its place: for `return mf_cases_at(cases, entry, mf_fail(...))`. */
MF_API MF_MUST_USE mf_status mf_cases_at(mf_cases *cases, const mf_entry *at, mf_status status);
/* Reports an error and frees it, for who looks for more of them: the graph is refused when `read`
 * has ended. */
MF_API void mf_cases_report(mf_cases *cases, const mf_entry *at, mf_status status);
MF_API void mf_cases_warn(mf_cases *cases, const mf_entry *at, const char *format, ...)
    MF_PRINTF(3, 4);
/* A line for who looks at the graph (massflow graph), such as what was passed over. */
MF_API void mf_cases_note(mf_cases *cases, const char *format, ...) MF_PRINTF(2, 3);

/* ---- declaring ------------------------------------------------------------------------------- */

/* A source as a static table, in C: what it must have, then any other field by name.
 *
 *     static MF_CASE_SOURCE(lines, "lines", "The scans that a text file lists.", read,
 *                           MF_PARAMETERS(lines_params, MF_PATH(lines_params, lines, ...)),
 *                           MF_COLUMNS({"line", "Its number in the file."})); */
#define MF_CASE_SOURCE(variable, source_name, source_summary, source_read, ...)                    \
    const mf_case_source variable = {                                                              \
        .name = source_name, .summary = source_summary, .read = source_read, __VA_ARGS__}
#define MF_COLUMNS(...)                                                                            \
    .columns = (const mf_source_column[])                                                          \
    {                                                                                              \
        __VA_ARGS__, MF_END                                                                        \
    }

/* The entry symbol of a plugin with sources: a NULL-terminated list of them. `plugin_types` as in
 * MF_PLUGIN_WITH_TYPES; behind it the stages, or NULL for none. */
#define MF_PLUGIN_WITH_SOURCES(plugin_name, plugin_types, plugin_sources, ...)                     \
    MF_PLUGIN_RECORD_(plugin_name, plugin_types, sizeof(mf_case_source), plugin_sources,           \
                      __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
