/* embed.c - the command `lar embed`. */
#include "cli/commands.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cpu/cpu.h"
#include "models/bert.h"
#include "pipeline/embed_text.h"
#include "tensor/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUT  ((size_t)256 << 20) /* bytes on standard input */
#define MAX_OUTPUT ((size_t)1 << 31)

struct texts {
    struct span *list;
    size_t n, cap;
    struct buf input; /* what was read; the list points into it */
};

static void add(struct texts *t, const char *p, size_t n)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->list = mem_realloc(t->list, t->cap * sizeof(*t->list));
    }
    t->list[t->n++] = (struct span){p, n};
}

/* Every line of standard input is a text; a "\r" before its end is not part of it. */
static int read_lines(struct texts *t, struct err *e)
{
    char piece[1 << 16];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0)
        buf_append(&t->input, piece, n);
    if (ferror(stdin))
        return err_set(e, ERR_IO, "standard input cannot be read");
    if (buf_failed(&t->input))
        return err_set(e, ERR_NOMEM, "standard input: more than %zu MiB; give it in parts",
                       MAX_INPUT >> 20);
    const char *p = buf_str(&t->input), *end = p + t->input.len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop ? stop : end) - p);
        add(t, p, length && p[length - 1] == '\r' ? length - 1 : length);
        p = stop ? stop + 1 : end;
    }
    return 0;
}

static void print_vector(struct buf *b, const float *v, int n)
{
    for (int i = 0; i < n; i++)
        buf_printf(b, i ? ",%.9g" : "%.9g", (double)v[i]);
}

static int print(const struct options *o, const struct texts *t, const struct embed_text_result *r,
                 struct err *e)
{
    bool json = o->value[OPTION_JSON].given, csv = o->value[OPTION_CSV].given;
    struct buf b;
    buf_init(&b, MAX_OUTPUT);
    if (json)
        buf_printf(&b, "{\"n_tokens\": %zu, \"n_cut\": %zu, \"embeddings\": [\n", r->n_tokens,
                   r->n_cut);
    for (size_t i = 0; i < t->n; i++) {
        buf_append_str(&b, csv ? "" : "[");
        print_vector(&b, r->vectors + i * (size_t)r->n_dim, r->n_dim);
        buf_append_str(&b, csv ? "\n" : json && i + 1 < t->n ? "],\n" : "]\n");
    }
    if (json)
        buf_append_str(&b, "]}\n");
    int rc = buf_failed(&b) ? err_set(e, ERR_NOMEM, "not enough memory for the result")
                            : message_out(b.data, b.len, e);
    buf_release(&b);
    return rc;
}

static int run(const struct options *o, const struct texts *t, struct err *e)
{
    const struct option_value *v = o->value;
    struct embed_text_request r = {
        .texts = t->list, .n = t->n, .whole = v[OPTION_WHOLE].given, .cancel = interrupt_flag()};
    struct embed_text_result result = {0};
    struct text_embedder *m = NULL;
    struct backend *b = NULL;
    if (v[OPTION_DIMENSIONS].given)
        r.dimensions = (int)v[OPTION_DIMENSIONS].whole;
    int rc = text_embedder_open(&m, v[OPTION_MODEL].text, e);
    if (!rc)
        rc = cpu_backend_new(&b, v[OPTION_THREADS].given ? (int)v[OPTION_THREADS].whole : 0, NULL,
                             e);
    if (!rc)
        rc = embed_text(m, b, &r, &result, e);
    if (!rc && result.n_cut)
        message_warn("%zu of %zu texts are longer than the model's %d tokens and were cut; --whole "
                     "refuses them",
                     result.n_cut, t->n, text_embedder_params(m)->n_ctx);
    if (!rc)
        rc = print(o, t, &result, e);
    free(result.vectors);
    backend_free(b);
    text_embedder_close(m);
    return rc;
}

int command_embed(const struct options *o, struct err *e)
{
    struct texts t = {0};
    int rc = 0;
    buf_init(&t.input, MAX_INPUT);
    if (!o->value[OPTION_MODEL].given)
        return err_set(e, ERR_ARG,
                       "-m MODEL: name a model for embeddings (a GGUF file or a "
                       "folder)");
    if (o->value[OPTION_JSON].given && o->value[OPTION_CSV].given)
        return err_set(e, ERR_ARG, "--json and --csv: one of them, please");
    for (int i = 0; i < o->n_operands; i++)
        add(&t, o->operands[i], strlen(o->operands[i]));
    if (!o->n_operands)
        rc = read_lines(&t, e);
    if (!rc && t.n)
        rc = run(o, &t, e);
    free(t.list);
    buf_release(&t.input);
    return rc;
}
