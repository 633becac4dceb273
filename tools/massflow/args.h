/* args.h - private to main.c and args.c: a parsed command line. */
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
void command_show(const command *c);

#endif
