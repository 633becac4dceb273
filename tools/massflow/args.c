/* args.c - the command line against a command's declared options, and the help made from them,
 * and how a command says that it cannot go on. */
#include "args.h"
#include "base/path.h"
#include "colour.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t args_count(const args *a)
{
    return a->operand_count;
}

const char *args_at(const args *a, size_t i)
{
    return a->operands[i];
}

args args_after(const args *a, size_t count)
{
    args rest = *a;

    rest.operands += count;
    rest.operand_count -= count;
    return rest;
}

const char *const *args_all(const args *a)
{
    return a->operands;
}

size_t args_value_count(const args *a, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < a->given_count; i++)
        count += !strcmp(a->given[i].name, name);
    return count;
}

bool args_has(const args *a, const char *name)
{
    return args_value_count(a, name) > 0;
}

const char *args_value_at(const args *a, const char *name, size_t i)
{
    for (size_t k = 0; k < a->given_count; k++)
        if (!strcmp(a->given[k].name, name) && i-- == 0)
            return a->given[k].value;
    return NULL;
}

const char *args_value(const args *a, const char *name)
{
    size_t count = args_value_count(a, name);

    return count ? args_value_at(a, name, count - 1) : NULL;
}

static const option help_option = {'h', "help", NULL, "show this help"};

static const option *find(const command *c, const char *name, size_t length, char letter)
{
    for (const option *o = c->options; o && o->name; o++)
        if (letter ? o->letter == letter
                   : strlen(o->name) == length && !strncmp(o->name, name, length))
            return o;
    if (letter ? letter == 'h' : length == 4 && !strncmp(name, "help", 4))
        return &help_option;
    return NULL;
}

static mf_status unknown(const command *c, const char *word)
{
    const char *names[32];
    size_t count = 0;
    const char *bare = word + strspn(word, "-");
    char *head = strndup(bare, strcspn(bare, "="));
    const char *near = NULL;
    mf_status status;

    for (const option *o = c->options; o && o->name && count < 32; o++)
        names[count++] = o->name;
    if (head)
        near = mf_nearest(head, names, count);
    if (near)
        status = mf_fail(MF_INVALID, "unknown option '%s'; did you mean '--%s'?", word, near);
    else
        status = mf_fail(MF_INVALID, "unknown option '%s'", word);
    free(head);
    return mf_hint(status, "massflow help %s", c->name);
}

static mf_status give(args *a, const option *o, const char *value)
{
    a->given[a->given_count].name = o->name;
    a->given[a->given_count++].value = value;
    return MF_OK;
}

static mf_status take(args *a, const command *c, int argc, char **argv, int *i)
{
    char *word = argv[*i];
    bool is_long = word[1] == '-';
    size_t length = is_long ? strcspn(word + 2, "=") : 1;
    const option *o = find(c, word + 2, length, is_long ? 0 : word[1]);
    const char *rest = is_long ? word + 2 + length : word + 2;

    if (!o)
        return unknown(c, word);
    if (!o->value) {
        if (*rest)
            return mf_fail(MF_INVALID, "option '--%s' takes no value", o->name);
        return give(a, o, NULL);
    }
    if (*rest)
        return give(a, o, is_long ? rest + 1 : rest);
    if (++*i >= argc)
        return mf_fail(MF_INVALID, "option '--%s' needs a value: --%s %s", o->name, o->name,
                       o->value);
    return give(a, o, argv[*i]);
}

const option *args_waits(const command *c, const char *word)
{
    const bool is_long = word[0] == '-' && word[1] == '-';
    const option *o = NULL;

    if (is_long)
        o = find(c, word + 2, strlen(word + 2), 0);
    else if (word[0] == '-' && word[1] && !word[2])
        o = find(c, "", 0, word[1]);
    return o && o->value ? o : NULL;
}

mf_status args_parse(const command *c, int argc, char **argv, args *a)
{
    bool only_operands = false;

    memset(a, 0, sizeof *a);
    a->command = c;
    a->operands = calloc((size_t)argc + 1, sizeof *a->operands);
    a->given = calloc((size_t)argc + 1, sizeof *a->given);
    if (!a->operands || !a->given)
        return mf_no_memory(0, "the command line");
    for (int i = 0; i < argc; i++) {
        if (!only_operands && !strcmp(argv[i], "--"))
            only_operands = true;
        else if (!only_operands && argv[i][0] == '-' && argv[i][1])
            MF_TRY(take(a, c, argc, argv, &i));
        else
            a->operands[a->operand_count++] = argv[i];
    }
    if (args_has(a, "help"))
        return MF_OK;
    if (a->operand_count < (size_t)c->min || (c->max >= 0 && a->operand_count > (size_t)c->max))
        return mf_hint(mf_fail(MF_INVALID, "usage: massflow %s %s", c->name, c->operands),
                       "massflow help %s", c->name);
    return MF_OK;
}

void args_clear(args *a)
{
    free(a->operands);
    free(a->given);
}

static void show_option(const option *o)
{
    char left[80];

    snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
             o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    printf("  %-28s %s\n", left, o->help);
}

void command_show(const command *c)
{
    printf("massflow %s%s%s - %s\n", c->name, *c->operands ? " " : "", c->operands,
           c->summary ? c->summary : "internal: for programs");
    if (c->help)
        printf("\n%s\n", c->help);
    printf("\nOptions:\n");
    for (const option *o = c->options; o && o->name; o++)
        show_option(o);
    show_option(&help_option);
}

int command_fail(mf_status status, int code)
{
    char *text = mf_error_text(status);

    colour_print(stderr, COLOUR_BAD, "massflow: error:");
    fprintf(stderr, " %s\n", text ? text : "out of memory");
    free(text);
    mf_error_free(status);
    return code;
}

int command_refuse(const char *format, ...)
{
    va_list list;
    mf_status status;

    va_start(list, format);
    status = mf_vfail(MF_INVALID, format, list);
    va_end(list);
    return command_fail(status, EXIT_REQUEST);
}

void args_quote(FILE *out, const char *text)
{
    char *word = mf_shell_word(text, true);

    fputs(word, out);
    free(word);
}

void args_quote_path(FILE *out, const char *path)
{
    char *word = mf_shell_word(path, false);

    fputs(word, out);
    free(word);
}

void args_repeat(FILE *out, const args *a, const char *const *names)
{
    for (; *names; names++)
        for (size_t i = 0; i < args_value_count(a, *names); i++) {
            fprintf(out, " --%s ", *names);
            args_quote(out, args_value_at(a, *names, i));
        }
}

char *args_again(const args *a, const char *target)
{
    static const char *const options[] = {"set", "cache", "device", "code", "plugins", NULL};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    fputs("massflow run ", out);
    args_quote_path(out, args_at(a, 0));
    fputc(' ', out);
    args_quote(out, target);
    args_repeat(out, a, options);
    fclose(out);
    return text;
}
