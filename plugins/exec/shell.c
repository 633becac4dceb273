/* shell.c - see shell.h. The quoting rules are those of POSIX, Shell Command Language, 2.2. */
#include "shell.h"

#include <massflow/stage.h>
#include <string.h>

void shell_begin(shell_state *s, const char *script)
{
    *s = (shell_state){0};
    s->unclear =
        strstr(script, "esac") != NULL; /* its patterns end with a bracket that none opens */
}

static char innermost(const shell_state *s)
{
    return s->depth ? s->open[s->depth - 1] : '\0';
}

static void enter(shell_state *s, char what)
{
    if (s->depth == SHELL_DEEPEST)
        s->unclear = true;
    else
        s->open[s->depth++] = what;
}

/* Between double quotes, and outside of quotes, where more characters mean something. */
static void feed_plain(shell_state *s, char c, bool in_quotes)
{
    char top = innermost(s);

    if (c == '\\')
        s->escaped = true;
    else if (c == '"' && in_quotes)
        s->depth--;
    else if (c == '`')
        s->unclear = true;
    else if (s->before == '$' && (c == '(' || c == '{'))
        enter(s, c);
    else if (in_quotes)
        return;
    else if ((c == '\'' && (s->before == '$' || top == '{')) || (c == '<' && s->before == '<'))
        s->unclear = true;
    else if (c == '\'' || c == '"' || c == '(')
        enter(s, c);
    else if ((c == ')' && top == '(') || (c == '}' && top == '{'))
        s->depth--;
    else if (c == '#' && (!s->before || strchr(" \t\n;&|(", s->before)))
        enter(s, c);
}

void shell_feed(shell_state *s, char c)
{
    char top = innermost(s);
    bool escaped = s->escaped;

    if (escaped)
        s->escaped = false;
    else if (top == '\'' || top == '#')
        s->depth -= c == (top == '#' ? '\n' : top);
    else
        feed_plain(s, c, top == '"');
    s->before = escaped ? 'x' : c;
}

/* Whether the place is one where quoting is sure to work. */
static bool clear(const shell_state *s)
{
    for (int i = 0; i < s->depth; i++)
        if (s->open[i] == '{' || s->open[i] == '#')
            return false;
    return !s->unclear && !s->escaped;
}

mf_status shell_put(shell_state *s, const char *value, FILE *out)
{
    char top = innermost(s);
    bool bare = top != '"' && top != '\'';

    if (!value[strspn(value, MF_COMMAND_PLAIN)]) {
        fputs(value, out);
        s->before = *value ? 'x' : s->before;
        s->escaped = false;
        return MF_OK;
    }
    if (!clear(s))
        return mf_hint(mf_fail(MF_INVALID,
                               "'command': \"%s\" stands where it can't be quoted for the shell",
                               value),
                       "that is in back quotes, a comment, ${...}, $'...', behind a backslash, or "
                       "behind << or in a script with `case`: put it into a variable first");
    if (bare)
        fputc('\'', out);
    for (; *value; value++) {
        if (top == '"')
            fputs(strchr("\\\"$`", *value) ? "\\" : "", out);
        if (top != '"' && *value == '\'')
            fputs("'\\", out);
        fputc(*value, out);
        if (top != '"' && *value == '\'')
            fputc('\'', out);
    }
    if (bare)
        fputc('\'', out);
    s->before = 'x';
    return MF_OK;
}
