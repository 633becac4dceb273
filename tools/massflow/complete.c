/* complete.c - the commands completion, which prints a script for a shell, and complete, which that
 * script asks: what may stand at the end of a command line, a candidate a line.
 *
 * Where it prints nothing the shell completes names of files. Errors are nobody's business while
 * somebody types: the scripts drop them. */
#include "args.h"
#include "sites.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const bash_script =
    "# bash completion of massflow:\n"
    "#   massflow completion bash > ~/.local/share/bash-completion/completions/massflow\n"
    "_massflow() {\n"
    "    mapfile -t COMPREPLY < <(massflow complete bash \"${COMP_LINE:0:COMP_POINT}\" "
    "2>/dev/null)\n"
    "    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=[] ]]; then\n"
    "        compopt -o nospace\n"
    "    fi\n"
    "}\n"
    "complete -o bashdefault -o default -F _massflow massflow\n";

static const char *const zsh_script =
    "#compdef massflow\n"
    "# zsh completion of massflow, into a folder of $fpath:\n"
    "#   massflow completion zsh > ~/.zsh/completions/_massflow\n"
    "_massflow() {\n"
    "    local -a found\n"
    "    found=(\"${(@f)$(massflow complete zsh \"${BUFFER[1,CURSOR]}\" 2>/dev/null)}\")\n"
    "    if [[ -n $found[1] ]]; then\n"
    "        if [[ $#found -eq 1 && $found[1] == *[=\\[] ]]; then\n"
    "            compadd -Q -U -S '' -- $found\n"
    "        else\n"
    "            compadd -Q -U -- $found\n"
    "        fi\n"
    "    else\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "compdef _massflow massflow\n";

static int completion(const args *a)
{
    const char *shell = args_at(a, 0);

    if (strcmp(shell, "bash") != 0 && strcmp(shell, "zsh") != 0)
        return command_refuse("no completion is known for '%s'; take bash or zsh", shell);
    fputs(strcmp(shell, "bash") ? zsh_script : bash_script, stdout);
    return EXIT_DONE;
}

const command command_completion = {
    "completion",
    "bash|zsh",
    "print a script that completes commands, options, parameters and nodes in this shell",
    "bash: massflow completion bash > ~/.local/share/bash-completion/completions/massflow\n"
    "zsh:  massflow completion zsh > FOLDER/_massflow, with FOLDER in fpath before compinit",
    NULL,
    1,
    1,
    completion};

/* ---- the line so far ------------------------------------------------------------------------- */

typedef struct line {
    char **words;
    size_t count; /* the last is what is being typed: often "" */
    char quoted;  /* the quote that is open in the last, or 0 */
    bool failed;
} line;

static void line_clear(line *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->words[i]);
    free(l->words);
}

/* Splits at blanks, as a shell does: quotes and backslashes are taken away. */
static void line_read(const char *text, line *l)
{
    *l = (line){0};
    for (bool more = true; more && !l->failed;) {
        char *word = calloc(strlen(text) + 1, 1), *to = word;
        char **grown = word ? mf_list_more(l->words, l->count, sizeof *grown) : NULL;
        char quote = 0;
        if (!grown) {
            free(word);
            l->failed = true;
            return;
        }
        l->words = grown;
        l->words[l->count++] = word;
        text += strspn(text, " \t");
        for (; *text && (quote || !strchr(" \t", *text)); text++) {
            if (quote ? *text == quote : *text == '\'' || *text == '"')
                quote = quote ? 0 : *text;
            else if (*text == '\\' && text[1] && quote != '\'')
                *to++ = *++text;
            else
                *to++ = *text;
        }
        l->quoted = quote;
        more = *text != '\0';
    }
}

/* ---- candidates ------------------------------------------------------------------------------ */

typedef struct asking {
    const char *shell;
    line line;
    const char *typed; /* the last word */
    args a;            /* what is before it */
} asking;

/* Where the shell goes on from: bash takes '=' and ':' for the end of a word. */
static size_t kept_by_shell(const asking *q)
{
    size_t kept = 0;

    if (!strcmp(q->shell, "bash") && !q->line.quoted)
        for (const char *s = q->typed; *s; s++)
            if (*s == '=' || *s == ':')
                kept = (size_t)(s - q->typed) + 1;
    return kept;
}

/* What a shell would not take as it is: ids of cases are somebody else's words, and must never
 * become a command of the line. */
static const char *special_of(const asking *q)
{
    if (q->line.quoted == '\'')
        return "'";
    return q->line.quoted ? "\"$`\\" : "[]{}*?'\" \t\\$`&;()<>|#~!^";
}

static void put_special(const asking *q, char letter)
{
    if (q->line.quoted == '\'')
        fputs("'\\''", stdout);
    else
        printf("\\%c", letter);
}

/* One candidate, of two parts, if it goes on from what is typed. */
static void offer(const asking *q, const char *text, const char *tail)
{
    char *whole = NULL;

    if (asprintf(&whole, "%s%s", text, tail) < 0)
        return;
    if (!strncmp(whole, q->typed, strlen(q->typed))) {
        for (const char *s = whole + kept_by_shell(q); *s; s++) {
            if (strchr(special_of(q), *s))
                put_special(q, *s);
            else
                putchar(*s);
        }
        putchar('\n');
    }
    free(whole);
}

static void offer_options(const asking *q, const command *c)
{
    char name[64];

    for (const option *o = c->options; o && o->name; o++) {
        snprintf(name, sizeof name, "--%s", o->name);
        offer(q, name, "");
    }
    offer(q, "--help", "");
}

static void offer_stages(const asking *q, bool commands)
{
    mf_registry *registry;

    if (commands)
        for (size_t i = 0; command_at(i); i++)
            if (command_at(i)->summary)
                offer(q, command_at(i)->name, "");
    if (open_registry(&q->a, &registry))
        return;
    for (size_t i = 0; i < mf_registry_count(registry); i++)
        offer(q, mf_registry_at(registry, i)->name, "");
    for (size_t i = 0; mf_registry_source_at(registry, i); i++)
        offer(q, mf_registry_source_at(registry, i)->name, "");
    mf_registry_free(registry);
}

/* Stages, nodes once there is a bracket, ports once there is a point. */
static void offer_targets(const asking *q, const mf_graph *graph)
{
    const bool nodes = strchr(q->typed, '[') != NULL;

    for (size_t i = 0; i < mf_graph_stage_count(graph); i++) {
        const mf_graph_stage *s = mf_graph_stage_at(graph, i);
        const size_t length = strlen(s->label);
        if (s->stage->item || !s->count)
            continue;
        if (!nodes && !strncmp(q->typed, s->label, length) && q->typed[length] == '.')
            for (const mf_port *p = s->stage->out; p->name; p++) {
                char port[64];
                snprintf(port, sizeof port, ".%s", p->name);
                offer(q, s->label, port);
            }
        if (nodes && !strncmp(q->typed, s->label, length) && q->typed[length] == '[')
            for (uint32_t n = 0; n < s->count; n++)
                offer(q, mf_graph_node(graph, s->first + n)->name, "");
        if (!nodes)
            offer(q, s->label, "");
        if (!nodes && !strcmp(q->typed, s->label) && mf_graph_node(graph, s->first)->axis_count)
            offer(q, s->label, "[");
    }
}

/* What a graph gives: its parameters, cases or targets. */
static void offer_of_graph(const asking *q, const char *option_name)
{
    mf_registry *registry;
    mf_graph *graph;

    if (!args_count(&q->a) || open_graph(&q->a, &registry, &graph))
        return;
    if (option_name && !strcmp(option_name, "set"))
        for (size_t i = 0; !strchr(q->typed, '=') && i < mf_graph_param_count(graph); i++)
            offer(q, mf_graph_param(graph, i), "=");
    else if (option_name)
        for (size_t i = 0; i < mf_graph_case_count(graph); i++)
            offer(q, mf_graph_case(graph, i)->id, "");
    else
        offer_targets(q, graph);
    mf_graph_free(graph);
    mf_registry_free(registry);
}

/* The words of "digest|version" or "stat|ls"; false where it names something else. */
static bool offer_words(const asking *q, const char *list)
{
    const bool words = strchr(list, '|') || !strcmp(list, "json");

    while (words && *list) {
        const size_t length = strcspn(list, "|");
        char *word = strndup(list, length);
        if (word)
            offer(q, word, "");
        free(word);
        list += length + (list[length] == '|');
    }
    return words;
}

/* Pools of the site, behind those that are there already: "gpu,cpu". */
static void offer_pools(const asking *q)
{
    const char *comma = strrchr(q->typed, ',');
    int before = comma ? (int)(comma - q->typed) + 1 : 0;
    mf_site *site;

    if (open_site(&q->a, &site))
        return;
    for (size_t i = 0; i < mf_site_count(site); i++) {
        char text[1024];
        snprintf(text, sizeof text, "%.*s", before, q->typed);
        if (strlen(text) == (size_t)before)
            offer(q, text, mf_site_pool(site, i)->name);
    }
    mf_site_free(site);
}

static void offer_value(const asking *q, const option *o)
{
    if (offer_words(q, o->value))
        return;
    if (!strcmp(o->name, "set") || !strcmp(o->name, "case"))
        offer_of_graph(q, o->name);
    else if (!strcmp(o->value, "NODE"))
        offer_of_graph(q, NULL);
    else if (!strcmp(o->name, "pool"))
        offer_pools(q);
}

static void offer_operand(const asking *q, const command *c)
{
    const size_t place = args_count(&q->a);

    if (!strcmp(c->name, "cache") && place == 0)
        for (size_t i = 0; cache_verb(i); i++)
            offer(q, cache_verb(i), "");
    else if (!strcmp(c->name, "cache") && place > 1 && !strcmp(args_at(&q->a, 0), "drop"))
        offer_of_graph(
            &(asking){
                .shell = q->shell, .line = q->line, .typed = q->typed, .a = args_after(&q->a, 1)},
            NULL);
    else if (!strcmp(c->name, "completion") && place == 0)
        offer_words(q, c->operands);
    else if ((!strcmp(c->name, "help") || !strcmp(c->name, "describe")) && place == 0)
        offer_stages(q, !strcmp(c->name, "help"));
    else if (!strcmp(c->name, "pools") && place == 0)
        offer_pools(q);
    else if (!strncmp(c->operands, "GRAPH ", 6) && place > 0)
        offer_of_graph(q, NULL);
}

/* The words between the command and the last one; *waits: the last of them is an option whose value
 * is being typed. False where they are no command line. */
static bool read_words(asking *q, const command *c, const option **waits)
{
    static command any; /* of any number of operands, so that nothing is missing yet */
    char **words = q->line.words + 2;
    int count = (int)q->line.count - 3;

    any = *c;
    any.min = 0;
    any.max = -1;
    *waits = count > 0 ? args_waits(c, words[count - 1]) : NULL;
    mf_status status = args_parse(&any, count - (*waits != NULL), words, &q->a);
    mf_error_free(status);
    return !status;
}

static int complete(const args *a)
{
    asking q = {.shell = args_at(a, 0)};
    const option *waits;

    line_read(args_at(a, 1), &q.line);
    if (q.line.failed || q.line.count < 2) {
        line_clear(&q.line);
        return q.line.failed ? EXIT_FAILED : EXIT_DONE;
    }
    q.typed = q.line.words[q.line.count - 1];
    const command *c = q.line.count > 2 ? command_find(q.line.words[1]) : NULL;
    if (q.line.count == 2)
        for (size_t i = 0; command_at(i); i++) {
            if (command_at(i)->summary)
                offer(&q, command_at(i)->name, "");
        }
    else if (c && read_words(&q, c, &waits)) {
        if (waits)
            offer_value(&q, waits);
        else if (*q.typed == '-')
            offer_options(&q, c);
        else
            offer_operand(&q, c);
    }
    args_clear(&q.a);
    line_clear(&q.line);
    return EXIT_DONE;
}

const command command_complete = {"complete", "SHELL LINE", NULL, NULL, NULL, 2, 2, complete};
