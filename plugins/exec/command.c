/* command.c - see command.h. */
#include "command.h"

#include "shell.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES ".nii.gz .nii .nrrd .mha .npy .json"

const exec_port exec_inputs[] = {
    {"volume", IMAGES, false},
    {"labels", IMAGES, false},
    {"masks", ".nii.gz .nii .nrrd .mha .json", false},
    {"features", ".npy .safetensors .json", false},
    {"table", ".csv .json", false},
    {"model", ".safetensors .json", false},
    {"image", ".png .npy .json", false},
    {"text", ".txt .json", false},
    {"file", ANY_SUFFIX, false},
    {"volumes", IMAGES " " INDEX_SUFFIX, true},
    {"label_maps", IMAGES " " INDEX_SUFFIX, true},
    {"feature_maps", ".npy .safetensors .json " INDEX_SUFFIX, true},
    {"tables", ".csv .json " INDEX_SUFFIX, true},
    {NULL, NULL, false},
};

const exec_port exec_outputs[] = {
    {"volume", ".nii.gz .nii .nrrd .mha .npy", false},
    {"labels", ".nii.gz .nii .nrrd .mha .npy", false},
    {"features", ".npy", false},
    {"table", ".csv", false},
    {"image", ".png .npy", false},
    {"text", ".txt .json .csv", false},
    {"file", ANY_SUFFIX, false},
    {NULL, NULL, false},
};

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a command");
}

/* ---- places ---------------------------------------------------------------------------------- */

static char *all_names(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    fprintf(out, "known: {in}, {out}, {files}, {threads}");
    for (const exec_port *p = exec_inputs; p->name; p++)
        fprintf(out, ", {%s}", p->name);
    for (const exec_port *p = exec_outputs; p->name; p++)
        fprintf(out, ", {out.%s}", p->name);
    fprintf(out, "; a brace itself is {{ or }}");
    fclose(out);
    return text;
}

static mf_status unknown(const char *name, int length)
{
    char *names = all_names();
    mf_status status = mf_hint(mf_fail(MF_INVALID, "'command': {%.*s} is unknown", length, name),
                               "%s", names ? names : "");

    free(names);
    return status;
}

/* A suffix of its own: letters and digits. Without one it is known when the file is. */
static bool take_any_suffix(const char *suffix, int length, place *found)
{
    for (int i = 0; i < length; i++)
        if (!isalnum((unsigned char)suffix[i]))
            return false;
    if (length + 2 > (int)sizeof found->suffix)
        return false;
    snprintf(found->suffix, sizeof found->suffix, "%s%.*s", length ? "." : "", length, suffix);
    return true;
}

/* Whether `suffix` (without its dot; "" for the usual one) is a form of the port's file. */
static bool take_suffix(const exec_port *port, const char *suffix, int length, place *found)
{
    const char *s = port->suffixes;

    if (!strcmp(s, ANY_SUFFIX))
        return take_any_suffix(suffix, length, found);
    while (*s) {
        int n = (int)strcspn(s, " ");
        if (!length || (n == length + 1 && !strncmp(s + 1, suffix, (size_t)length))) {
            snprintf(found->suffix, sizeof found->suffix, "%.*s", n, s);
            return true;
        }
        s += n + (s[n] == ' ');
    }
    return false;
}

/* "volume.npy": a port, and perhaps a form. */
static mf_status port_place(const exec_port *ports, const char *name, int length, place *found)
{
    int stem = 0;

    while (stem < length && name[stem] != '.')
        stem++;
    for (const exec_port *p = ports; p->name; p++) {
        if ((int)strlen(p->name) != stem || strncmp(p->name, name, (size_t)stem))
            continue;
        found->port = p;
        const int rest = stem < length ? length - stem - 1 : 0;
        if (take_suffix(p, name + stem + (rest > 0), rest, found)) {
            if (*found->suffix || ports == exec_inputs)
                return MF_OK;
            return mf_hint(mf_fail(MF_INVALID, "'command': {out.%s} has no suffix", p->name),
                           "say what it is: {out.%s.pdf}, {out.%s.stl}", p->name, p->name);
        }
        return mf_hint(mf_fail(MF_INVALID, "'command': %s can't be a %.*s file", p->name,
                               length - stem, name + stem),
                       "forms of %s: %s", p->name,
                       strcmp(p->suffixes, ANY_SUFFIX) != 0 ? p->suffixes
                                                            : "any suffix of letters and digits");
    }
    return unknown(name, length);
}

static mf_status parse_place(const char *name, int length, place *found)
{
    static const char *const words[] = {"in", "out", "files", "threads"};

    *found = (place){0};
    for (int i = 0; i < 4; i++) {
        if ((int)strlen(words[i]) == length && !strncmp(words[i], name, (size_t)length)) {
            found->kind = (place_kind)i;
            return MF_OK;
        }
    }
    if (length > 4 && !strncmp(name, "out.", 4)) {
        found->kind = PLACE_OUTPUT;
        return port_place(exec_outputs, name + 4, length - 4, found);
    }
    found->kind = PLACE_INPUT;
    return port_place(exec_inputs, name, length, found);
}

/* ---- literals -------------------------------------------------------------------------------- */

/* The character behind a literal that begins at `text`, at its "{'"; NULL where it does not end. */
static const char *literal_end(const char *text)
{
    for (text += 2; *text; text++) {
        if (*text != '\'')
            continue;
        if (text[1] == '}')
            return text + 2;
        if (text[1] != '\'')
            return NULL;
        text++;
    }
    return NULL;
}

static bool begins_literal(const char *text)
{
    return text[0] == '{' && text[1] == '\'';
}

static bool doubled_brace(const char *text)
{
    return (*text == '{' || *text == '}') && text[1] == *text;
}

bool command_has_literal(const char *word)
{
    for (; *word; word++) {
        if (begins_literal(word))
            return true;
        word += doubled_brace(word);
    }
    return false;
}

/* What a literal means. */
static mf_status read_literal(const char **text, char **value)
{
    const char *end = literal_end(*text), *from = *text + 2;
    char *to;

    if (!end)
        return mf_hint(mf_fail(MF_INVALID, "'command': {' is not closed by '}"),
                       "a brace itself is {{ or }}");
    to = *value = malloc((size_t)(end - from) + 1);
    if (!to)
        return no_memory();
    for (; from < end - 2; from++) {
        *to++ = *from;
        from += *from == '\'';
    }
    *to = '\0';
    *text = end;
    return MF_OK;
}

/* ---- expanding ------------------------------------------------------------------------------- */

/* Where the filled text goes. */
typedef struct target {
    FILE *out;
    bool quote; /* for a shell */
    shell_state shell;
} target;

static mf_status put_value(target *t, const char *value)
{
    if (t->quote)
        return shell_put(&t->shell, value, t->out);
    fputs(value, t->out);
    return MF_OK;
}

static void put_char(target *t, char c)
{
    if (t->quote)
        shell_feed(&t->shell, c);
    fputc(c, t->out);
}

/* One place, from behind its brace; *text then stands behind the closing one. */
static mf_status put_place(const char **text, place_text fill, void *self, target *t)
{
    const char *end = strchr(*text, '}');
    place found;
    char *filled = NULL;
    mf_status status;

    if (!end)
        return mf_hint(mf_fail(MF_INVALID, "'command': a brace is not closed"),
                       "a brace itself is {{ or }}");
    MF_TRY(parse_place(*text, (int)(end - *text), &found));
    MF_TRY(fill(self, &found, &filled));
    status = put_value(t, filled ? filled : "");
    free(filled);
    *text = end + 1;
    return status;
}

static mf_status put_literal(const char **text, target *t)
{
    char *value;
    mf_status status;

    MF_TRY(read_literal(text, &value));
    status = put_value(t, value);
    free(value);
    return status;
}

mf_status command_expand(const char *text, bool shell, place_text fill, void *self, char **expanded)
{
    size_t size;
    target t = {.out = open_memstream(expanded, &size), .quote = shell};
    mf_status status = t.out ? MF_OK : no_memory();

    shell_begin(&t.shell, text);
    while (!status && *text) {
        if (begins_literal(text)) {
            status = put_literal(&text, &t);
        } else if (*text == '{' && text[1] != '{') {
            text++;
            status = put_place(&text, fill, self, &t);
        } else {
            text += doubled_brace(text);
            put_char(&t, *text++);
        }
    }
    if (t.out && fclose(t.out) != 0 && !status)
        status = no_memory();
    if (status && t.out) {
        free(*expanded);
        *expanded = NULL;
    }
    return status;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* Copies `count` characters, which mean nothing here. */
static void copy(const char **text, char **to, size_t count)
{
    memcpy(*to, *text, count);
    *text += count;
    *to += count;
}

/* Copies one word; *text then stands behind it. */
static bool copy_word(const char **text, char **to)
{
    char quote = 0;

    while (**text && (quote || !isspace((unsigned char)**text))) {
        const char *end = begins_literal(*text) ? literal_end(*text) : NULL;
        bool mark = **text == '\'' || **text == '"';
        if (end) {
            copy(text, to, (size_t)(end - *text));
        } else if (doubled_brace(*text)) {
            copy(text, to, 2);
        } else if (mark && (!quote || **text == quote)) {
            quote = quote ? '\0' : **text;
            (*text)++;
        } else {
            copy(text, to, 1);
        }
    }
    *(*to)++ = '\0';
    return !quote;
}

mf_status command_split(const char *text, char ***words)
{
    size_t length = strlen(text), count = 0;
    /* There are at most half as many words as characters; their texts lie behind the pointers. */
    char **list = malloc((length / 2 + 2) * sizeof *list + length + 2);
    char *to = list ? (char *)(list + length / 2 + 2) : NULL;

    *words = NULL;
    if (!list)
        return no_memory();
    for (;;) {
        while (isspace((unsigned char)*text))
            text++;
        if (!*text)
            break;
        list[count++] = to;
        if (!copy_word(&text, &to)) {
            free(list);
            return mf_fail(MF_INVALID, "'command': a quote is not closed");
        }
    }
    list[count] = NULL;
    *words = list;
    return MF_OK;
}
