/* error.c - errors as values: a message with contexts, a place and a hint.
 * Knows nothing of who raises or shows them. */
#include <massflow/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_error {
    mf_code code;
    char *message;
    char *context; /* outermost first, joined by ": "; or NULL */
    char *file;    /* or NULL */
    int line, column;
    char *hint; /* or NULL */
};

static char more_memory[] = "run fewer stages at once (-j 1), or use a machine with more memory";

/* What is returned when there is no memory for an error. Never freed, never changed. */
static mf_error no_memory = {MF_NO_MEMORY, "out of memory", NULL, NULL, 0, 0, more_memory};

static char *format_text(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return NULL;
    return text;
}

mf_status mf_vfail(mf_code code, const char *format, va_list args)
{
    mf_error *error = calloc(1, sizeof *error);
    if (!error)
        return &no_memory;
    error->code = code;
    error->message = format_text(format, args);
    if (!error->message) {
        free(error);
        return &no_memory;
    }
    return error;
}

mf_status mf_fail(mf_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    mf_status error = mf_vfail(code, format, args);
    va_end(args);
    return error;
}

mf_status mf_no_memory(size_t bytes, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    char *text = format_text(what, args);
    va_end(args);
    if (!text)
        return &no_memory;
    mf_status status = bytes ? mf_fail(MF_NO_MEMORY, "out of memory: %zu bytes for %s", bytes, text)
                             : mf_fail(MF_NO_MEMORY, "out of memory for %s", text);
    free(text);
    return mf_hint(status, "%s", more_memory);
}

mf_status mf_within(mf_status error, const char *format, ...)
{
    if (!error || error == &no_memory || error->code == MF_CANCELLED)
        return error;
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    if (!text)
        return error; /* the error itself matters more than its context */
    if (!error->context) {
        error->context = text;
        return error;
    }
    char *joined = NULL;
    if (asprintf(&joined, "%s: %s", text, error->context) >= 0) {
        free(error->context);
        error->context = joined;
    }
    free(text);
    return error;
}

mf_status mf_at(mf_status error, const char *file, int line, int column)
{
    if (!error || error == &no_memory)
        return error;
    char *copy = strdup(file);
    if (copy) {
        free(error->file);
        error->file = copy;
        error->line = line;
        error->column = column;
    }
    return error;
}

mf_status mf_hint(mf_status error, const char *format, ...)
{
    if (!error || error == &no_memory)
        return error;
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    if (text) {
        free(error->hint);
        error->hint = text;
    }
    return error;
}

mf_code mf_error_code(const mf_error *error)
{
    return error->code;
}

const char *mf_code_text(mf_code code)
{
    switch (code) {
#define X(name, text)                                                                              \
    case name:                                                                                     \
        return text;
        MF_CODES(X)
#undef X
    }
    return "unknown";
}

const char *mf_error_message(const mf_error *error)
{
    return error->message;
}

const char *mf_error_hint_text(const mf_error *error)
{
    return error->hint;
}

char *mf_error_text(const mf_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    if (error->file && error->line > 0)
        fprintf(out, "%s:%d:%d: ", error->file, error->line, error->column);
    else if (error->file)
        fprintf(out, "%s: ", error->file);
    if (error->context)
        fprintf(out, "%s: ", error->context);
    fputs(error->message, out);
    if (error->hint)
        fprintf(out, "\n  %s", error->hint);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

void mf_error_free(mf_error *error)
{
    if (!error || error == &no_memory)
        return;
    free(error->message);
    free(error->context);
    free(error->file);
    free(error->hint);
    free(error);
}
