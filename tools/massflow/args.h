/* args.h - private to main.c, args.c and complete.c: a parsed command line, the table of commands.
 */
#ifndef MF_ARGS_H
#define MF_ARGS_H

#include "command.h"

struct args {
    const command *command;
    const char **operands;
    size_t operand_count;
    struct {
        const char *name, *value;
    } * given;
    size_t given_count;
};

/* The strings stay the caller's; args_clear also after an error. */
MF_MUST_USE mf_status args_parse(const command *c, int argc, char **argv, args *a);
void args_clear(args *a);
/* Without the first operands; the strings and lists stay those of `a`. */
args args_after(const args *a, size_t count);
void command_show(const command *c);
/* The option whose value the next word is, if `word` is one without it; else NULL. */
const option *args_waits(const command *c, const char *word);

/* The commands in their order, NULL past the last; that of a name, or NULL. main.c */
const command *command_at(size_t i);
const command *command_find(const char *name);
const char *cache_verb(size_t i); /* of `massflow cache`, NULL past the last; cache.c */

#endif
