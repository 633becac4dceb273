/* fuzz_names.c - files that name label values: nnU-Net's dataset.json, CSV, the headers of Slicer
 * segmentations, and ITK-SNAP's and Slicer's tables. Names or an error; names that are read can be
 * written by all writers and are then the same, and no byte of a name is lost. The first byte says
 * by which suffix the rest is read. */
#include "fuzz.h"
#include "names/names_file.h"

static const char *const suffixes[] = {"names.json", "names.csv", "names.nrrd", "names.txt"};

static void check(const mf_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        const mf_name *n = &names->v[i];
        PROMISE(n->value >= 1 && n->value <= INT32_MAX && *n->name);
        PROMISE(!i || names->v[i - 1].value < n->value);
        PROMISE(n->colour >= MF_NO_COLOUR && n->colour <= 0xffffff);
    }
}

/* As an attribute of a label map has them. */
static void keep(const mf_names *names, const mf_label_sets *sets)
{
    mf_artifact *a;
    mf_names again;
    mf_label_sets same;
    PROMISE(!failed(mf_artifact_new("labels", &a)));
    PROMISE(!failed(mf_artifact_set_named(a, names, sets)));
    PROMISE(!failed(mf_artifact_names(a, &again)));
    PROMISE(!failed(mf_artifact_label_sets(a, &same)));
    PROMISE(again.count == names->count && same.count == sets->count);
    for (size_t i = 0; i < same.count; i++) {
        const mf_label_set *x = &same.v[i], *y = &sets->v[i];
        PROMISE(!strcmp(x->name, y->name) && x->count == y->count);
        PROMISE(!memcmp(x->values, y->values, x->count * sizeof *x->values));
    }
    for (size_t i = 0; i < again.count; i++) {
        PROMISE(again.v[i].value == names->v[i].value);
        PROMISE(!strcmp(again.v[i].name, names->v[i].name) || names->v[i].colour == MF_NO_COLOUR);
    }
    mf_names_clear(&again);
    mf_label_sets_clear(&same);
    mf_artifact_unref(a);
}

/* The tables have no way to write some characters of names; values they keep. */
static void write_and_read(const char *path, const mf_names *names)
{
    mf_names again = {0};
    mf_label_sets sets = {0};
    PROMISE(!failed(names_file_write(path, names)));
    if (!failed(names_file_read(path, &again, &sets)))
        PROMISE(again.count == names->count && !sets.count);
    mf_names_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_names names = {0};
    mf_label_sets sets = {0};
    enter_scratch();
    if (!size)
        return 0;
    const char *path = suffixes[*data % (sizeof suffixes / sizeof *suffixes)];
    write_file(path, data + 1, size - 1);
    if (!failed(names_file_read(path, &names, &sets))) {
        check(&names);
        if (*data % 4 < 2) /* these end at the first NUL, if they were to ignore one */
            PROMISE(!memchr(data + 1, 0, size - 1));
        keep(&names, &sets);
        write_and_read("written.txt", &names);
        write_and_read("written.ctbl", &names);
    }
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    return 0;
}
