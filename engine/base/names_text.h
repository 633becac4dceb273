/* names_text.h - the entries of a text of names; artifact_names.c. */
#ifndef MASSFLOW_BASE_NAMES_TEXT_H
#define MASSFLOW_BASE_NAMES_TEXT_H

#include <massflow/names.h>

#include <stdio.h>

/* Calls `take` for each entry, which it may cut up: a line each, or several in one line. */
MF_MUST_USE mf_status mf__names_each(const char *text, mf_status (*take)(void *self, char *entry),
                                     void *self);
/* Whether an entry names a set of values; else it names one value. */
bool mf__names_is_set(const char *entry);
/* What is between the '=' of an entry and its end, without blanks around it; cuts it. */
char *mf__names_name(char *equals);
/* That a text can be a name; `value` is for the message. */
MF_MUST_USE mf_status mf__names_check(int64_t value, const char *name);
/* The lines of the attribute. */
void mf__names_print(FILE *out, const mf_names *names);

#endif
