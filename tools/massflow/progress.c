/* progress.c - drawing the events of a run. Lines that stay are printed above the live ones. */
#include "progress.h"
#include "base/utf8.h"
#include "clean.h"
#include "colour.h"
#include "workspace.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Where no terminal is: ticks between two looks at all that runs, and the seconds of work from
 * which on a node has a line of its own before. So long a node of a stage with many has one, too.
 */
#define TICKS_A_LINE 60
#define FIRST 5

void progress_open(progress *p, FILE *out, bool quiet, mf_plan *plan)
{
    struct winsize size;

    memset(p, 0, sizeof *p);
    p->out = out;
    p->quiet = quiet;
    p->live = !quiet && isatty(clean_file(out));
    p->width = 80;
    batches_open(&p->batches, plan);
    if (p->live && ioctl(clean_file(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        p->width = size.ws_col;
}

static void erase(progress *p)
{
    for (; p->drawn > 0; p->drawn--)
        clean_escape(p->out, "\033[A\033[2K");
}

static void print_done(progress *p, const char *node, double seconds, const char *place)
{
    char took[32];

    words_seconds(seconds, took);
    colour_print(p->out, COLOUR_GOOD, "done    ");
    fprintf(p->out, " %s (%s%s%s)\n", node, took, place && *place ? " on " : "",
            place ? place : "");
}

/* "done     masks: 400 nodes (2 min 3 s together)", of those that no line has told of yet. */
static void tell_batch(progress *p, batch *b)
{
    char took[32];

    erase(p);
    words_seconds(b->seconds, took);
    if (b->untold == 1) {
        print_done(p, b->last, b->seconds, NULL);
    } else if (b->untold) {
        colour_print(p->out, COLOUR_GOOD, "done    ");
        fprintf(p->out, " %s: %zu", b->label, b->untold);
        if (b->untold < b->nodes)
            fprintf(p->out, " of %zu", b->nodes);
        fprintf(p->out, " nodes (%s together)\n", took);
    }
    b->untold = 0;
    b->seconds = 0;
    for (size_t i = 0; i < b->kind_count; i++) {
        if (b->kinds[i].again)
            fprintf(p->out, "           %zu more line%s like this: %s\n", b->kinds[i].again,
                    b->kinds[i].again == 1 ? "" : "s", b->kinds[i].text);
        b->kinds[i].again = 0;
    }
}

static void tell_batches(progress *p)
{
    for (size_t i = 0; i < p->batches.count; i++)
        tell_batch(p, &p->batches.items[i]);
}

/* A node of a stage with many has ended; with its last one all are told of. */
static void end_of_batch(progress *p, const mf_run_event *e)
{
    batch *b = batches_of(&p->batches, e->node);

    if (b && ++b->ended >= b->nodes)
        tell_batch(p, b);
}

void progress_close(progress *p)
{
    if (!p->quiet)
        tell_batches(p);
    batches_close(&p->batches);
    erase(p);
    fflush(p->out);
}

static void clock_words(double seconds, char text[32])
{
    long s = (long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else if (s > 48 * 3600)
        snprintf(text, 32, "%ld days", s / 86400);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* One line of the live ones, as it is shown, cut at the terminal's width. */
static void put_live(progress *p, const char *line)
{
    char shown[6 * 512 + 1];
    cleaner c = {{0}, 0};
    size_t size = clean_bytes(&c, line, strnlen(line, 511), shown), at = 0;

    for (int column = 1; at < size && column < p->width; column++) {
        uint32_t code;
        size_t n = mf_utf8_next(shown + at, size - at, &code);
        at += n ? n : 1;
    }
    fprintf(p->out, "%.*s\n", (int)at, shown);
    p->drawn++;
}

/* "12.3/s  0:42 left", "65.2 s each  75 days left", or nothing while the rate is not known. */
static bool rate_words(progress *p, const mf_run_active *a, char text[80])
{
    double rate, seconds;
    char left[32];

    text[0] = '\0';
    if (!rate_of(&p->rates, a, &rate, &seconds))
        return false;
    clock_words(seconds, left);
    if (rate < 0.1)
        snprintf(text, 80, "%.3g s each  %s left  ", 1 / rate, left);
    else
        snprintf(text, 80, "%.3g/s  %s left  ", rate, left);
    return true;
}

#define BAR 10
#define MOST_SHOWN 24 /* nodes at once */

/* "masks[case=012]  [####......] 41 of 100  12.3/s  0:42 left  loss 0.31" */
static void draw_active(progress *p, const mf_run_active *a)
{
    char line[512], words[80], bar[BAR + 1];
    const mf_task_state *s = &a->state;
    double part = s->total > 0 ? ((double)s->done + s->part) / (double)s->total : 0;

    part = part > 1 ? 1 : part;
    if (s->total <= 0) {
        clock_words(a->seconds, words);
        snprintf(line, sizeof line, "  %-24s %s  %s", a->node, words, s->words);
    } else {
        memset(bar, '.', BAR);
        memset(bar, '#', (size_t)(part * BAR));
        bar[BAR] = '\0';
        rate_words(p, a, words);
        snprintf(line, sizeof line, "  %-24s [%s] %lld of %lld  %s%s", a->node, bar,
                 (long long)s->done, (long long)s->total, words, s->words);
    }
    put_live(p, line);
}

/* "running  encoder: 246 of 600  2.7/s  2:11 left  loss 0.31" */
static void print_active(progress *p, const mf_run_active *a, const char *rate)
{
    const mf_task_state *s = &a->state;
    char words[32];

    if (s->total <= 0) {
        clock_words(a->seconds, words);
        fprintf(p->out, "running  %s: for %s  %s\n", a->node, words, s->words);
    } else {
        fprintf(p->out, "running  %s: %lld of %lld  %s%s\n", a->node, (long long)s->done,
                (long long)s->total, rate, s->words);
    }
}

/* Whether the node's first line is due: it is long at work, and its rate has just become known. */
static bool is_first(progress *p, const mf_run_active *a, bool known)
{
    if (!known || a->seconds < FIRST)
        return false;
    for (size_t i = 0; i < sizeof p->told / sizeof *p->told; i++)
        if (p->told[i] == a->node)
            return false;
    p->told[p->next_told++ % (sizeof p->told / sizeof *p->told)] = a->node;
    return true;
}

/* Where no terminal is: how all stand now and then, and of each once as soon as it can be said. */
static void print_lines(progress *p, const mf_run_event *e)
{
    char rate[80];
    bool due = ++p->ticks % TICKS_A_LINE == 0;

    for (size_t i = 0; i < e->active_count; i++) {
        bool known = rate_words(p, &e->active[i], rate);
        if (is_first(p, &e->active[i], known) || due)
            print_active(p, &e->active[i], rate);
    }
    if (due)
        tell_batches(p);
    fflush(p->out);
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
    put_live(p, line);
}

static void tick(progress *p, const mf_run_event *e)
{
    char line[64];

    if (!p->live) {
        print_lines(p, e);
        return;
    }
    erase(p);
    for (size_t i = 0; i < e->active_count && i < MOST_SHOWN; i++)
        draw_active(p, &e->active[i]);
    if (e->active_count > MOST_SHOWN) {
        snprintf(line, sizeof line, "  and %zu more", e->active_count - MOST_SHOWN);
        put_live(p, line);
    }
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

static bool goes_wrong(mf_run_event_kind kind)
{
    return kind == MF_RUN_FAILED || kind == MF_RUN_BLOCKED || kind == MF_RUN_OVERTIME ||
           kind == MF_RUN_RETURNED || kind == MF_RUN_STOPPING || kind == MF_RUN_STOP_NOW;
}

static void print_started(progress *p, const mf_run_event *e)
{
    if (!p->live && !batches_of(&p->batches, e->node))
        fprintf(p->out, "start    %s%s%s\n", e->node, *e->place ? " on " : "", e->place);
}

static void done(progress *p, const mf_run_event *e)
{
    batch *b = batches_of(&p->batches, e->node);

    if (b && e->seconds < FIRST) {
        b->untold++;
        b->seconds += e->seconds;
        b->last = e->node;
        return;
    }
    if (p->live && e->seconds < 1)
        return; /* quick ones would bury the rest */
    erase(p);
    print_done(p, e->node, e->seconds, e->place);
}

static void print_other(progress *p, const mf_run_event *e)
{
    batch *b = e->kind == MF_RUN_LOG ? batches_of(&p->batches, e->node) : NULL;

    if (b && !batch_shows(b, e->text))
        return;
    erase(p);
    switch (e->kind) {
    case MF_RUN_PLANNED:
        print_planned(p, e->counts);
        break;
    case MF_RUN_FAILED:
        colour_print(p->out, COLOUR_BAD, "failed  ");
        fprintf(p->out, " %s: %.*s\n", e->node, first_line(e->text), e->text);
        break;
    case MF_RUN_BLOCKED:
        colour_print(p->out, COLOUR_WARN, "blocked ");
        fprintf(p->out, " %s: %s\n", e->node, e->text ? e->text : "");
        break;
    case MF_RUN_WAITING:
        fprintf(p->out, "waiting for %s: %s\n", e->node, e->text);
        break;
    case MF_RUN_OVERTIME:
        colour_print(p->out, COLOUR_WARN, "overtime");
        fprintf(p->out, " %s: %s\n", e->node, e->text);
        break;
    case MF_RUN_LOG:
    case MF_RUN_RETURNED:
        fprintf(p->out, "%s: %s\n", e->node, e->text);
        break;
    case MF_RUN_STOPPING:
        colour_print(p->out, COLOUR_WARN, "stopping:");
        fprintf(p->out, " running stages end at their next safe point; a second signal stops at "
                        "once\n");
        break;
    default:
        break;
    }
}

void progress_event(void *self, const mf_run_event *e)
{
    progress *p = self;

    if (p->quiet && !goes_wrong(e->kind))
        return;
    switch (e->kind) {
    case MF_RUN_TICK:
        tick(p, e);
        return;
    case MF_RUN_STARTED:
        print_started(p, e);
        break;
    case MF_RUN_DONE:
        done(p, e);
        break;
    case MF_RUN_FOUND:
        break; /* counted at the end */
    case MF_RUN_STOP_NOW:
        erase(p);
        fprintf(p->out, "stopped\n");
        fflush(p->out);
        _exit(EXIT_INTERRUPTED);
    default:
        print_other(p, e);
        break;
    }
    if (!p->quiet && (e->kind == MF_RUN_DONE || e->kind == MF_RUN_FOUND ||
                      e->kind == MF_RUN_FAILED || e->kind == MF_RUN_BLOCKED))
        end_of_batch(p, e);
    fflush(p->out);
}

void progress_say(progress *p, const char *text)
{
    erase(p);
    fprintf(p->out, "%s\n", text);
    fflush(p->out);
}
