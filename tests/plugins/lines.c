/* lines.c - a plugin with a source of cases of its own: a text file, a scan a line. Some lines are
 * there to be wrong. */
#include <massflow/cases.h>

#include <string.h>

typedef struct lines_params {
    const char *lines, *marks;
    int64_t skip;
    mf_reals weights;
} lines_params;

/* What stands in marks, a file of JSON or YAML: {WORD: [MEANING, ...]}. */
static mf_status check_marks(mf_cases *c, const char *path)
{
    const mf_entry *root;

    MF_TRY(mf_cases_tree(c, path, 1 << 16, &root));
    if (mf_entry_is(root) != MF_ENTRY_MAP)
        return mf_cases_at(c, root, mf_fail(MF_INVALID, "marks are to be a mapping"));
    for (size_t i = 0; i < mf_entry_count(root); i++) {
        const mf_entry *list = mf_entry_at(root, i), *first = mf_entry_at(list, 0);

        if (mf_entry_is(list) != MF_ENTRY_LIST || !first)
            mf_cases_report(c, mf_entry_key(root, i),
                            mf_hint(mf_fail(MF_INVALID, "'%s' means nothing",
                                            mf_entry_text(mf_entry_key(root, i))),
                                    "write a list behind it"));
    }
    if (mf_entry_get(root, "old"))
        mf_cases_warn(c, mf_entry_get(root, "old"), "'%s' is old", "old");
    return MF_OK;
}

static mf_status add_line(mf_cases *c, const mf_entry *line, size_t number)
{
    const char *text = mf_entry_text(line);

    if (!strcmp(text, "stop"))
        return mf_cases_at(c, line,
                           mf_within(mf_fail(MF_INVALID, "it stops here"), "line %zu", number));
    if (!strcmp(text, "fail"))
        return mf_fail(MF_INVALID, "it fails, nowhere in particular");
    if (*text == '!') {
        mf_cases_report(c, line, mf_hint(mf_fail(MF_INVALID, "'%s' is wrong", text), "mend it"));
        return MF_OK;
    }
    mf_cases_add(c, line, strchr(text, ' ') ? mf_cases_id(c, text) : NULL);
    if (!strcmp(text, "bare"))
        return MF_OK;
    if (!strcmp(text, "odd"))
        mf_cases_set(c, "odd", "1");
    mf_cases_set(c, "path", strchr(text, ' ') ? strchr(text, ' ') + 1 : text);
    mf_cases_set(c, "line", mf_cases_text(c, "%zu", number));
    mf_cases_set(c, "word1", text);
    if (!strcmp(text, "scans/b.nii.gz"))
        mf_cases_from(c, "the second scan");
    return MF_OK;
}

static mf_status read_lines(mf_cases *c, const void *params)
{
    const lines_params *p = params;
    const mf_entry *lines;
    size_t empty = 0;

    if (p->skip == 13)
        return mf_cases_at(c, mf_cases_option(c, "skip"), mf_fail(MF_INVALID, "13 is unlucky"));
    if (p->skip == 14)
        mf_cases_set(c, "line", "of no case");
    if (p->marks)
        MF_TRY(check_marks(c, p->marks));
    mf_cases_uses(c, mf_cases_text(c, "%s/used.txt", mf_cases_folder(c)));
    MF_TRY(mf_cases_lines(c, p->lines, 1 << 16, &lines));
    for (size_t i = (size_t)p->skip; i < mf_entry_count(lines); i++) {
        const mf_entry *line = mf_entry_at(lines, i);

        if (*mf_entry_text(line))
            MF_TRY(add_line(c, line, i + 1));
        else
            empty++;
    }
    if (empty)
        mf_cases_note(c, "lines: %zu empty", empty);
    return MF_OK;
}

static MF_CASE_SOURCE(
    lines, "lines", "The scans that a text file lists.", read_lines,
    MF_PARAMETERS(lines_params, MF_PATH(lines_params, lines, NULL, "The text file."),
                  MF_INT(lines_params, skip, "0", 0, 100, "lines", "Lines that are passed over."),
                  MF_REALS(lines_params, weights, "[]", 0, 1, "", "Read by nobody."),
                  MF_PATH(lines_params, marks, "", "What words mean.")),
    MF_COLUMNS({"line", "Its number in the file."}, {"word*", "What stands in it."}),
    .help = "Empty lines are passed over.");

typedef struct strict_params {
    const char *strict;
    int64_t level;
} strict_params;

static mf_status read_strict(mf_cases *c, const void *params)
{
    (void)params;
    mf_cases_add(c, NULL, "only");
    return MF_OK;
}

static MF_CASE_SOURCE(strict, "strict", "One case, with an option that is required.", read_strict,
                      MF_PARAMETERS(strict_params,
                                    MF_TEXT(strict_params, strict, NULL, "Any text."),
                                    MF_INT(strict_params, level, NULL, 1, 3, "", "A level.")));

static const mf_case_source *const sources[] = {&lines, &strict, NULL};

MF_PLUGIN_WITH_SOURCES("lines", NULL, sources, NULL)
