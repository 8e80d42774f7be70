/* bench_report.c - see bench_report.h. */
#include "cli/bench_report.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/message.h"
#include "cli/options.h"
#include "pipeline/text_model.h"
#include "tensor/backend.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static const char *const names[] = {
    [BENCH_PROMPT] = "prompt", [BENCH_ANSWER] = "generate", [BENCH_FIRST] = "first token"};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_report_add(struct bench_report *r, const struct bench_row *row)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 8;
        r->rows = mem_realloc(r->rows, (size_t)r->cap * sizeof(*r->rows));
    }
    r->rows[r->n++] = *row;
    qsort(row->seconds, (size_t)row->n, sizeof(double), ascending);
}

void bench_report_release(struct bench_report *r)
{
    for (int i = 0; i < r->n; i++)
        free(r->rows[i].seconds);
    free(r->rows);
    *r = (struct bench_report){0};
}

/* Median, least and greatest: seconds of BENCH_FIRST, else tokens of all sequences per second. */
struct figures {
    double median, least, most;
};

static double median(const double *sorted, int n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static struct figures figures(const struct bench_row *r)
{
    double tokens = (double)r->tokens * r->sequences;
    struct figures f = {median(r->seconds, r->n), r->seconds[0], r->seconds[r->n - 1]};
    if (r->kind != BENCH_FIRST)
        f = (struct figures){tokens / f.median, tokens / f.most, tokens / f.least};
    return f;
}

/* The most memory that was ever resident, the mapped files included; bytes. */
static double peak_memory(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024;
}

static void print_table(const struct bench_report *r, const struct text_model *m,
                        const struct backend *b, struct buf *out)
{
    const struct language_params *p = language_params(m->language);
    buf_printf(out, "%s: %s, %.1f million parameters, %.1f MiB; %s\n\n", m->name, p->arch,
               (double)p->n_weights / 1e6, (double)p->size / (1 << 20), b->name);
    buf_printf(out, "%-12s %7s %7s %4s %11s   %s\n", "", "tokens", "depth", "at once", "",
               "spread");
    for (int i = 0; i < r->n; i++) {
        const struct bench_row *x = &r->rows[i];
        struct figures f = figures(x);
        buf_printf(out, "%-12s %7d %7d %7d ", names[x->kind], x->tokens, x->depth, x->sequences);
        if (x->kind == BENCH_FIRST)
            buf_printf(out, "%9.3f s     %.3f - %.3f\n", f.median, f.least, f.most);
        else
            buf_printf(out, "%9.2f tok/s %.2f - %.2f\n", f.median, f.least, f.most);
    }
    buf_printf(out, "peak memory %.0f MiB\n", peak_memory() / (1 << 20));
}

static void print_csv(const struct bench_report *r, struct buf *out)
{
    buf_append_str(out, "test,tokens,depth,sequences,median,least,most,unit\n");
    for (int i = 0; i < r->n; i++) {
        const struct bench_row *x = &r->rows[i];
        struct figures f = figures(x);
        buf_printf(out, "%s,%d,%d,%d,%.6g,%.6g,%.6g,%s\n", names[x->kind], x->tokens, x->depth,
                   x->sequences, f.median, f.least, f.most,
                   x->kind == BENCH_FIRST ? "s" : "tokens/s");
    }
    double peak = peak_memory();
    buf_printf(out, "peak memory,,,,%.0f,%.0f,%.0f,bytes\n", peak, peak, peak);
}

static void print_json(const struct bench_report *r, const struct text_model *m,
                       const struct backend *b, struct buf *out)
{
    const struct language_params *p = language_params(m->language);
    json_t *tests = json_array();
    for (int i = 0; i < r->n; i++) {
        const struct bench_row *x = &r->rows[i];
        struct figures f = figures(x);
        json_array_append_new(tests,
                              json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:s}", "test",
                                        names[x->kind], "tokens", x->tokens, "depth", x->depth,
                                        "sequences", x->sequences, "repetitions", x->n, "median",
                                        f.median, "least", f.least, "most", f.most, "unit",
                                        x->kind == BENCH_FIRST ? "s" : "tokens/s"));
    }
    json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:s, s:o, s:I}", "model", m->name,
                             "architecture", p->arch, "parameters", (json_int_t)p->n_weights,
                             "bytes", (json_int_t)p->size, "backend", b->name, "tests", tests,
                             "peak_resident_bytes", (json_int_t)peak_memory());
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    buf_printf(out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(root);
}

int bench_report_print(const struct bench_report *r, const struct options *o,
                       const struct text_model *m, const struct backend *b, struct err *e)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    if (o->value[OPTION_JSON].given)
        print_json(r, m, b, &out);
    else if (o->value[OPTION_CSV].given)
        print_csv(r, &out);
    else
        print_table(r, m, b, &out);
    int rc = message_out(buf_str(&out), out.len, e);
    buf_release(&out);
    return rc;
}
