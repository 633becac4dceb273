/* reads.h - which files a graph reads. */
#ifndef MF_GRAPH_READS_H
#define MF_GRAPH_READS_H

#include "graph/data/graph_private.h"

/* The file that `path`, absolute, names: links and detours on the way resolved as far as folders
 * are there, so that one file has one name. A link in its last part is replaced, not followed. */
char *mf__one_name(mf_graph *g, const char *path);
/* The node that reads the file of that name, "" where it is a file of the graph, or NULL. */
const char *mf__reader_of(mf_graph *g, const char *name);
/* Of a folder that holds it, at any depth: there a new file is read, too. */
const char *mf__reader_of_folder(mf_graph *g, const char *name);

#endif
