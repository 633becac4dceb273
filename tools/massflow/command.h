/* command.h - what a command of `massflow` is: a name, its options, a function.
 *
 * A command has a file of its own and one line in the table of main.c. Options are declared, so
 * that parsing, refusals and help come from one place. Only this folder prints and exits. */
#ifndef MF_COMMAND_H
#define MF_COMMAND_H

#include "graph/data/graph.h"
#include "stages/stages.h"

#include <stdio.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,  /* a stage failed */
    EXIT_REQUEST = 2, /* the request was wrong; nothing was run */
    EXIT_INTERRUPTED = 130
};

typedef struct option {
    char letter;       /* 0 for none */
    const char *name;  /* without dashes */
    const char *value; /* "FILE"; NULL for a flag */
    const char *help;
} option;

/* Options that several commands share. */
#define OPTION_PLUGINS                                                                             \
    {                                                                                              \
        0, "plugins", "DIR|FILE.py", "load the plugins of this folder, or stages in Python, too"   \
    }
#define OPTION_SET                                                                                 \
    {                                                                                              \
        0, "set", "NAME=VALUE", "set a parameter of the graph"                                     \
    }
#define OPTION_END                                                                                 \
    {                                                                                              \
        0, NULL, NULL, NULL                                                                        \
    }

typedef struct args args;

typedef struct command {
    const char *name;
    const char *operands;  /* as usage shows them: "GRAPH [TARGET...]" */
    const char *summary;   /* one line */
    const char *help;      /* more, or NULL */
    const option *options; /* ends with OPTION_END, or NULL */
    int min, max;          /* number of operands; max -1: any */
    int (*run)(const args *a);
} command;

/* Operands, and options by name; `at` is for options that may be given more than once. */
size_t args_count(const args *a);
const char *args_at(const args *a, size_t i);
const char *const *args_all(const args *a);
bool args_has(const args *a, const char *name);
const char *args_value(const args *a, const char *name); /* the last one given, or NULL */
size_t args_value_count(const args *a, const char *name);
const char *args_value_at(const args *a, const char *name, size_t i);

/* A text between quotes, for a shell; all values of some options (NULL-terminated), as they were
 * given. */
void args_quote(FILE *out, const char *text);
/* Only where a shell would take it for something else. */
void args_quote_path(FILE *out, const char *path);
void args_repeat(FILE *out, const args *a, const char *const *names);
/* "massflow run GRAPH 'target' --set ...": what makes that target of the same graph, for free(). */
char *args_again(const args *a, const char *target);

/* Prints "massflow: error: ..." and frees the error; returns `code`. */
int command_fail(mf_status status, int code);
/* The same for a wrong request, with a message. */
int command_refuse(const char *format, ...) MF_PRINTF(1, 2);

/* Loads the plugins, honouring --plugins. 0, or an exit code after printing why not. */
int open_registry(const args *a, mf_registry **registry);
/* Whether the first operand is a source of cases. */
bool describes_source(const args *a);
/* The plugins and the graph of the first operand, honouring --plugins and --set. Prints all
 * errors and warnings of the graph file. */
int open_graph(const args *a, mf_registry **registry, mf_graph **graph);

int main_help(const args *a);

#endif
