/* fuzz_graph.c - graph files with the toy stages. The input is up to four files, parted by lines
 * "%%": the graph, a file that it may include, a table of cases, a target. */
#include "fuzz.h"
#include "graph/data/graph.h"

#include <ctype.h>
#include <sys/stat.h>

const mf_plugin *massflow_plugin(void); /* of tests/plugins/toy.c, which is linked in */

static mf_registry *toys;

static void open_toys(void)
{
    if (toys)
        return;
    enter_scratch();
    PROMISE(mkdir("scans", 0700) == 0 && mkdir("more", 0700) == 0 && mkdir("more/a", 0700) == 0);
    write_file("scans/a.nii.gz", "", 0);
    write_file("scans/b.nii.gz", "", 0);
    write_file("more/a/t1.nii.gz", "", 0);
    PROMISE(!failed(mf_registry_new(&toys)));
    PROMISE(!failed(mf_registry_add(toys, massflow_plugin(), "toy.so")));
}

/* Paths that leave the scratch folder would make one input depend on the machine. */
static bool leaves(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '/' && (!i || !(isalnum(data[i - 1]) || strchr("}*.]_-", data[i - 1]))))
            return true;
        if (data[i] == '.' && i && data[i - 1] == '.')
            return true;
        if (data[i] == '~' || data[i] == '\\')
            return true;
    }
    return false;
}

/* Uses a graph that was found right. */
static void use(const mf_graph *g, const char *text)
{
    mf_target target;
    bool *wanted = NULL;
    for (size_t i = 0; i < mf_graph_node_count(g); i++) {
        const mf_node *n = mf_graph_node(g, i);
        PROMISE(n->name && n->stage && n->params);
        for (size_t p = 0; p < n->input_count; p++)
            for (size_t k = 0; k < n->inputs[p].count; k++)
                PROMISE(n->inputs[p].edges[k].node < i); /* in topological order */
    }
    failed(mf_graph_target(g, text, &target));
    failed(mf_graph_select(g, &text, 1, NULL, 0, &wanted));
    free(wanted);
}

/* Cuts off the part up to the next line "%%"; "" where there is none. */
static char *next_part(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *cut = memmem(*at, (size_t)(end - *at), "\n%%\n", 4);
    const uint8_t *stop = cut ? cut + 1 : end;
    char *part = strndup((const char *)*at, (size_t)(stop - *at));
    PROMISE(part);
    *at = cut ? cut + 4 : end;
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"g.yaml", "other.yaml", "cases.csv"};
    const uint8_t *at = data, *end = data + size;
    mf_diagnostics *d;
    mf_graph *g = NULL;
    open_toys();
    if (leaves(data, size))
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *part = next_part(&at, end);
        write_file(names[i], part, strlen(part));
        free(part);
    }
    char *target = next_part(&at, end);
    PROMISE(!failed(mf_diagnostics_new(&d)));
    if (!failed(mf_graph_load("g.yaml", toys, NULL, 0, d, &g))) {
        PROMISE((mf_diagnostics_errors(d) > 0) == !g);
        if (g)
            use(g, target);
    }
    free(mf_diagnostics_text(d));
    mf_graph_free(g);
    mf_diagnostics_free(d);
    free(target);
    return 0;
}
