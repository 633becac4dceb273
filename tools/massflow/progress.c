/* progress.c - drawing the events of a run. Lines that stay are printed above the live ones. */
#include "progress.h"
#include "workspace.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void progress_open(progress *p, FILE *out)
{
    struct winsize size;

    memset(p, 0, sizeof *p);
    p->out = out;
    p->live = isatty(fileno(out));
    p->width = 80;
    if (p->live && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        p->width = size.ws_col;
}

static void erase(progress *p)
{
    for (; p->drawn > 0; p->drawn--)
        fputs("\033[A\033[2K", p->out);
}

void progress_close(progress *p)
{
    erase(p);
    fflush(p->out);
}

static void clock_words(double seconds, char text[32])
{
    long s = (long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* Steps a second since it was first seen; 0 while that is not known. */
static double step_rate(progress *p, const mf_run_active *a)
{
    progress_start *start = p->starts;
    progress_start *const end = p->starts + sizeof p->starts / sizeof *p->starts;

    while (start < end && (start->node != a->node || start->seconds > a->seconds))
        start++;
    if (start == end) {
        start = &p->starts[p->next_start++ % (sizeof p->starts / sizeof *p->starts)];
        *start = (progress_start){a->node, a->seconds, a->state.done};
    }
    return a->seconds > start->seconds && a->state.done > start->done
               ? (double)(a->state.done - start->done) / (a->seconds - start->seconds)
               : 0;
}

/* "12.3/s  0:42 left", or nothing while the rate is not known. */
static void rate_words(progress *p, const mf_run_active *a, char text[64])
{
    double rate = step_rate(p, a);
    char left[32];

    text[0] = '\0';
    if (rate <= 0)
        return;
    clock_words((double)(a->state.total - a->state.done) / rate, left);
    snprintf(text, 64, "%.3g/s  %s left  ", rate, left);
}

#define BAR 10

/* "masks[case=012]  [####......]  41%  12.3/s  0:42 left  loss 0.31" */
static void draw_active(progress *p, const mf_run_active *a)
{
    char line[512], words[64], bar[BAR + 1];
    const mf_task_state *s = &a->state;
    double part = s->total > 0 ? (double)s->done / (double)s->total : 0;

    part = part > 1 ? 1 : part;
    if (s->total <= 0) {
        clock_words(a->seconds, words);
        snprintf(line, sizeof line, "  %-24s %s  %s", a->node, words, s->words);
    } else {
        memset(bar, '.', BAR);
        memset(bar, '#', (size_t)(part * BAR));
        bar[BAR] = '\0';
        rate_words(p, a, words);
        snprintf(line, sizeof line, "  %-24s [%s] %3.0f%%  %s%s", a->node, bar, part * 100, words,
                 s->words);
    }
    fprintf(p->out, "%.*s\n", p->width - 1, line);
    p->drawn++;
}

/* "running  encoder: 246 of 600  2.7/s  2:11 left  loss 0.31" */
static void print_active(progress *p, const mf_run_active *a)
{
    const mf_task_state *s = &a->state;
    char words[64];

    if (s->total <= 0) {
        clock_words(a->seconds, words);
        fprintf(p->out, "running  %s: for %s  %s\n", a->node, words, s->words);
    } else {
        rate_words(p, a, words);
        fprintf(p->out, "running  %s: %lld of %lld  %s%s\n", a->node, (long long)s->done,
                (long long)s->total, words, s->words);
    }
}

static void draw_counts(progress *p, const mf_run_counts *c)
{
    size_t ended = c->done + c->cached + c->failed + c->blocked + c->cancelled;
    char line[256];

    snprintf(line, sizeof line, "  %zu/%zu  %zu done, %zu cached%s", ended, c->wanted, c->done,
             c->cached, c->failed ? "" : ", 0 failed");
    if (c->failed)
        snprintf(line + strlen(line), sizeof line - strlen(line), ", %zu failed, %zu blocked",
                 c->failed, c->blocked);
    fprintf(p->out, "%.*s\n", p->width - 1, line);
    p->drawn++;
}

static void tick(progress *p, const mf_run_event *e)
{
    if (!p->live) {
        for (size_t i = 0; i < e->active_count; i++)
            print_active(p, &e->active[i]);
        fflush(p->out);
        return;
    }
    erase(p);
    for (size_t i = 0; i < e->active_count; i++)
        draw_active(p, &e->active[i]);
    draw_counts(p, e->counts);
    fflush(p->out);
}

static int first_line(const char *text)
{
    return (int)strcspn(text, "\n");
}

static void print_planned(progress *p, const mf_run_counts *c)
{
    fprintf(p->out, "%zu of %zu nodes are cached", c->cached, c->wanted);
    if (c->imported)
        fprintf(p->out, ", %zu of them imported", c->imported);
    fprintf(p->out, "\n");
}

void progress_event(void *self, const mf_run_event *e)
{
    progress *p = self;
    char took[32];

    switch (e->kind) {
    case MF_RUN_TICK:
        tick(p, e);
        return;
    case MF_RUN_STARTED:
        if (p->live)
            return;
        fprintf(p->out, "start    %s\n", e->node);
        break;
    case MF_RUN_DONE:
        if (p->live && e->seconds < 1)
            return; /* a thousand quick ones would bury the rest */
        erase(p);
        break;
    case MF_RUN_FOUND:
        return; /* counted at the end */
    case MF_RUN_STOP_NOW:
        erase(p);
        fprintf(p->out, "stopped\n");
        fflush(p->out);
        _exit(EXIT_INTERRUPTED);
    default:
        erase(p);
        break;
    }
    words_seconds(e->seconds, took);
    if (e->kind == MF_RUN_PLANNED)
        print_planned(p, e->counts);
    else if (e->kind == MF_RUN_DONE)
        fprintf(p->out, "done     %s (%s)\n", e->node, took);
    else if (e->kind == MF_RUN_FAILED)
        fprintf(p->out, "failed   %s: %.*s\n", e->node, first_line(e->text), e->text);
    else if (e->kind == MF_RUN_BLOCKED)
        fprintf(p->out, "blocked  %s: %s\n", e->node, e->text ? e->text : "");
    else if (e->kind == MF_RUN_WAITING)
        fprintf(p->out, "waiting for %s: %s\n", e->node, e->text);
    else if (e->kind == MF_RUN_LOG)
        fprintf(p->out, "%s: %s\n", e->node, e->text);
    else if (e->kind == MF_RUN_STOPPING)
        fprintf(p->out, "stopping: running stages end at their next safe point; once more stops "
                        "now\n");
    fflush(p->out);
}
