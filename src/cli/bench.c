/* bench.c - the command `lar bench`: how fast a language model runs on this machine. */
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cpu/cpu.h"
#include "nn/kvcache.h"
#include "pipeline/evaluate.h"
#include "pipeline/text_model.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK         512 /* tokens of a prompt in one run, as generate.h has it */
#define SHORT_PROMPT  11  /* for the time to the first token */
#define MAX_SEQUENCES 256
#define MAX_LIST      16
#define MAX_TOKENS    (1 << 24)

struct list {
    int v[MAX_LIST], n;
};

struct bench {
    const char *path;
    struct list prompts, answers, sequences, depths;
    int repetitions;
    struct backend *backend;
    struct text_model *model;
    struct evaluator_options options;
    struct bench_report report;
    /* Of one row of measurements. */
    struct evaluator *ev;
    struct kvcache_seq seq[MAX_SEQUENCES];
    int32_t *tokens; /* of one sequence */
};

/* ---- options ---- */

static int parse_list(const struct option_value *v, const char *standard, const char *name,
                      int most, struct list *out, struct err *e)
{
    const char *text = v->given ? v->text : standard, *s = text;
    out->n = 0;
    do {
        char *end;
        errno = 0;
        long x = isdigit((unsigned char)*s) ? strtol(s, &end, 10) : -1;
        if (x < 0 || errno || x > most || (*end && *end != ',') || out->n == MAX_LIST)
            return err_set(e, ERR_ARG,
                           "--%s %s: up to %d whole numbers, 0 to %d, with commas between them",
                           name, text, MAX_LIST, most);
        out->v[out->n++] = (int)x;
        s = *end ? end + 1 : NULL;
    } while (s);
    return 0;
}

static bool stop(void *ctx)
{
    (void)ctx;
    return atomic_load(interrupt_flag());
}

static int read_options(struct bench *b, const struct options *o, struct err *e)
{
    const struct option_value *v = o->value;
    *b = (struct bench){
        .path = o->operands[0],
        .repetitions = v[OPTION_REPETITIONS].given ? (int)v[OPTION_REPETITIONS].whole : 5,
        .options = {.cache_type = DTYPE_F16, .exact = v[OPTION_EXACT].given, .stop = stop}};
    if (v[OPTION_CACHE_TYPE].given)
        b->options.cache_type = dtype_from_name(v[OPTION_CACHE_TYPE].text);
    int rc = parse_list(&v[OPTION_PROMPT_LENGTHS], "512", "prompt", MAX_TOKENS, &b->prompts, e);
    if (!rc)
        rc = parse_list(&v[OPTION_GENERATE_LENGTHS], "64", "generate", MAX_TOKENS, &b->answers, e);
    if (!rc)
        rc = parse_list(&v[OPTION_SEQUENCES], "1", "sequences", MAX_SEQUENCES, &b->sequences, e);
    if (!rc)
        rc = parse_list(&v[OPTION_DEPTH], "0", "depth", MAX_TOKENS, &b->depths, e);
    return rc;
}

/* ---- running ---- */

/* Any tokens do: what a model computes does not change its speed. Sequences differ, so that they
 * share no blocks. */
static void random_tokens(struct bench *b, int sequence, int n)
{
    uint64_t n_vocab = (uint64_t)language_params(b->model->language)->n_vocab;
    for (int i = 0; i < n; i++)
        b->tokens[i] = (int32_t)(hash_mix64((uint64_t)sequence << 32 | (uint64_t)i) % n_vocab);
}

static int run_prompt(struct bench *b, int sequence, int n, struct err *e)
{
    int rc = 0;
    float *logits;
    for (int i = 0; i < n && !rc; i += CHUNK) {
        int m = n - i < CHUNK ? n - i : CHUNK;
        struct evaluator_part part = {&b->seq[sequence], b->tokens + i, m, i + m == n};
        rc = evaluate(b->ev, &part, 1, &logits, e);
    }
    return rc;
}

static int run_answers(struct bench *b, int n_sequences, int n, struct err *e)
{
    struct evaluator_part parts[MAX_SEQUENCES];
    int32_t token[MAX_SEQUENCES];
    int rc = 0;
    float *logits;
    for (int i = 0; i < n && !rc; i++) {
        for (int s = 0; s < n_sequences; s++) {
            token[s] = b->tokens[(i + s) % n];
            parts[s] = (struct evaluator_part){&b->seq[s], &token[s], 1, 1};
        }
        rc = evaluate(b->ev, parts, n_sequences, &logits, e);
    }
    return rc;
}

/* Sequences of `depth` tokens, and room for n more in each. */
static int begin(struct bench *b, int n_sequences, int depth, int n, struct err *e)
{
    int64_t room = (int64_t)(depth + n + KV_BLOCK) * n_sequences;
    if (room > INT32_MAX / 2)
        return err_set(e, ERR_ARG, "%d sequences of %d tokens are too many", n_sequences,
                       depth + n);
    b->options.n_tokens = (int)room;
    b->tokens = mem_try_array((size_t)(depth > n ? depth : n), sizeof(*b->tokens), "tokens", e);
    int rc = b->tokens ? evaluator_new(&b->ev, &b->options, e) : ERR_NOMEM;
    for (int s = 0; s < n_sequences && !rc; s++) {
        random_tokens(b, s, depth);
        rc = run_prompt(b, s, depth, e);
    }
    if (!rc)
        random_tokens(b, MAX_SEQUENCES, n);
    return rc;
}

static void end(struct bench *b)
{
    for (int s = 0; s < MAX_SEQUENCES && b->ev; s++)
        kvcache_end(evaluator_cache(b->ev), &b->seq[s]);
    evaluator_free(b->ev);
    free(b->tokens);
    b->ev = NULL;
    b->tokens = NULL;
}

/* One row: a warm-up, then the repetitions, each after forgetting what the one before added. */
static int measure(struct bench *b, struct bench_row row, struct err *e)
{
    int rc = begin(b, row.sequences, row.depth, row.tokens, e);
    row.seconds = mem_alloc((size_t)b->repetitions * sizeof(double));
    for (int i = -1; i < b->repetitions && !rc; i++) {
        for (int s = 0; s < row.sequences; s++)
            kvcache_rewind(evaluator_cache(b->ev), &b->seq[s], row.depth);
        kvcache_clear(evaluator_cache(b->ev));
        double start = clock_seconds();
        rc = row.kind == BENCH_PROMPT ? run_prompt(b, 0, row.tokens, e)
                                      : run_answers(b, row.sequences, row.tokens, e);
        if (i >= 0)
            row.seconds[row.n++] = clock_seconds() - start;
    }
    end(b);
    if (rc)
        free(row.seconds);
    else
        bench_report_add(&b->report, &row);
    return rc;
}

/* From opening the files to the first token of a short prompt, as in a new process. */
static int first_token(struct bench *b, struct err *e)
{
    struct bench_row row = {.kind = BENCH_FIRST, .tokens = SHORT_PROMPT, .sequences = 1};
    int rc = 0;
    row.seconds = mem_alloc((size_t)b->repetitions * sizeof(double));
    for (int i = 0; i < b->repetitions && !rc; i++) {
        double start = clock_seconds();
        text_model_close(b->model);
        rc = text_model_open(&b->model, b->path, e);
        if (rc)
            break;
        b->options.model = b->model->language;
        rc = begin(b, 1, 0, SHORT_PROMPT, e);
        if (!rc)
            rc = run_prompt(b, 0, SHORT_PROMPT, e);
        row.seconds[row.n++] = clock_seconds() - start;
        end(b);
    }
    if (rc)
        free(row.seconds);
    else
        bench_report_add(&b->report, &row);
    return rc;
}

static int run_all(struct bench *b, struct err *e)
{
    int rc = first_token(b, e);
    for (int d = 0; d < b->depths.n; d++) {
        struct bench_row row = {.depth = b->depths.v[d], .sequences = 1};
        for (int i = 0; i < b->prompts.n && !rc; i++) {
            row.tokens = b->prompts.v[i];
            if (row.tokens > 0)
                rc = measure(b, row, e);
        }
        row.kind = BENCH_ANSWER;
        for (int i = 0; i < b->answers.n * b->sequences.n && !rc; i++) {
            row.tokens = b->answers.v[i / b->sequences.n];
            row.sequences = b->sequences.v[i % b->sequences.n];
            if (row.tokens > 0 && row.sequences > 0)
                rc = measure(b, row, e);
        }
    }
    return rc;
}

int command_bench(const struct options *o, struct err *e)
{
    const struct option_value *threads = &o->value[OPTION_THREADS];
    struct bench b;
    int rc = read_options(&b, o, e);
    if (!rc)
        rc = cpu_backend_new(&b.backend, threads->given ? (int)threads->whole : 0, NULL, e);
    b.options.backend = b.backend;
    if (!rc)
        rc = text_model_open(&b.model, b.path, e); /* also brings the files into memory's cache */
    if (!rc)
        rc = run_all(&b, e);
    if (!rc)
        rc = bench_report_print(&b.report, o, b.model, b.backend, e);
    bench_report_release(&b.report);
    text_model_close(b.model);
    backend_free(b.backend);
    return rc;
}
