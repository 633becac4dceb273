/* manual.c - the command manual: the manual page of massflow, made from what `help` shows. */
#include "args.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Text of a page: no line of it is a request, hyphens are those that are typed. */
static void put_text(const char *text)
{
    bool begin = true;

    for (; *text; text++) {
        if (begin && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        begin = *text == '\n';
    }
}

static void put_option(const option *o)
{
    fputs(".TP\n", stdout);
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", stdout);
    put_text(o->name);
    fputs("\\fR", stdout);
    if (o->value) {
        fputs(" \\fI", stdout);
        put_text(o->value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_text(o->help);
    putchar('\n');
}

static void put_command(const command *c)
{
    printf(".SS \"massflow %s%s%s\"\n", c->name, *c->operands ? " " : "", c->operands);
    putchar(toupper((unsigned char)*c->summary));
    put_text(c->summary + 1);
    fputs(".\n", stdout);
    if (c->help) {
        fputs(".PP\n.nf\n", stdout);
        put_text(c->help);
        fputs("\n.fi\n", stdout);
    }
    for (const option *o = c->options; o && o->name; o++)
        put_option(o);
}

static int manual(const args *a)
{
    (void)a;
    printf(".TH MASSFLOW 1 \"\" \"massflow %s\" \"massflow\"\n", MF_VERSION);
    fputs(
        ".SH NAME\n"
        "massflow \\- self\\-supervised learning on 3D medical images, as a cached dataflow graph\n"
        ".SH SYNOPSIS\n"
        ".B massflow\n"
        ".I COMMAND\n"
        "[\\fIOPERAND\\fR...] [\\fIOPTION\\fR...]\n"
        ".SH COMMANDS\n",
        stdout);
    for (size_t i = 0; command_at(i); i++)
        if (command_at(i)->summary)
            put_command(command_at(i));
    fputs(".SH \"EXIT STATUS\"\n"
          "0: success; 1: a stage failed; 2: the request was wrong, nothing was run; 130: "
          "cancelled.\n"
          ".SH ENVIRONMENT\n"
          ".TP\n.B MASSFLOW_PLUGINS\nFolders with plugins, joined by colons.\n"
          ".SH FILES\n"
          ".TP\n.I .massflow\nThe cache, beside the graph, unless \\fB\\-\\-cache\\fR names "
          "another.\n",
          stdout);
    return EXIT_DONE;
}

const command command_manual = {"manual", "", NULL, NULL, NULL, 0, 0, manual};
