/* perplexity.c - the command `lar perplexity`. */
#include "pipeline/perplexity.h"

#include "base/err.h"
#include "base/buf.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cpu/cpu.h"
#include "pipeline/evaluate.h"
#include "pipeline/text_model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STANDARD_WINDOW 512

static int on_window(const struct perplexity *p, int n_windows, void *ctx)
{
    const struct options *o = ctx;
    if (!o->value[OPTION_QUIET].given)
        message_note("window %d of %d: %.4f", p->n_windows, n_windows, p->value);
    return atomic_load(interrupt_flag()) ? ERR_CANCELLED : 0;
}

static int tell(const struct options *o, const struct perplexity *p, int n_ctx, struct err *e)
{
    char *line;
    if (o->value[OPTION_JSON].given) {
        json_t *root = json_pack("{s:f, s:f, s:i, s:i, s:I}", "perplexity", p->value, "error",
                                 p->error, "windows", p->n_windows, "window_tokens", n_ctx,
                                 "counted_tokens", (json_int_t)p->n_tokens);
        char *text = json_dumps(root, JSON_INDENT(2));
        line = mem_printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(root);
    } else {
        line = mem_printf("perplexity %.4f +/- %.4f  (%d windows of %d tokens)\n", p->value,
                          p->error, p->n_windows, n_ctx);
    }
    int rc = message_out(line, strlen(line), e);
    free(line);
    return rc;
}

static int measure(const struct options *o, const struct text_model *m, struct backend *b,
                   const struct tokens *tokens, struct err *e)
{
    const struct option_value *v = o->value;
    struct perplexity p;
    struct evaluator *ev;
    int n_ctx = v[OPTION_NUM_CTX].given ? (int)v[OPTION_NUM_CTX].whole : STANDARD_WINDOW;
    struct evaluator_options options = {.backend = b,
                                        .model = m->language,
                                        .cache_type = DTYPE_F16,
                                        .n_tokens = n_ctx,
                                        .exact = v[OPTION_EXACT].given};
    if (v[OPTION_CACHE_TYPE].given)
        options.cache_type = dtype_from_name(v[OPTION_CACHE_TYPE].text);
    int rc = evaluator_new(&ev, &options, e);
    if (rc)
        return rc;
    struct perplexity_request r = {
        .tokens = tokens->ids,
        .n = (int)tokens->n,
        .n_vocab = language_params(m->language)->n_vocab,
        .n_ctx = n_ctx,
        .n_windows = v[OPTION_WINDOWS].given ? (int)v[OPTION_WINDOWS].whole : 0,
        .bos = tokenizer_adds_bos(m->tokenizer) ? tokenizer_bos(m->tokenizer) : -1,
        .on_window = on_window,
        .ctx = (void *)(uintptr_t)o,
    };
    rc = perplexity(ev, &r, &p, e);
    evaluator_free(ev);
    return rc ? rc : tell(o, &p, n_ctx, e);
}

int command_perplexity(const struct options *o, struct err *e)
{
    const struct option_value *v = o->value;
    struct text_model *m = NULL;
    struct backend *b = NULL;
    struct tokens tokens = {0};
    struct buf text;
    buf_init(&text, TOKENIZER_TEXT_MAX);
    int rc = v[OPTION_MODEL].given
                 ? 0
                 : err_set(e, ERR_ARG, "no model: name a GGUF file or a folder with -m MODEL");
    if (!rc)
        rc = input_read(o->operands[0], &text, "the text", e);
    if (!rc)
        rc = text_model_open(&m, v[OPTION_MODEL].text, e);
    if (!rc)
        rc = cpu_backend_new(&b, v[OPTION_THREADS].given ? (int)v[OPTION_THREADS].whole : 0, NULL,
                             e);
    if (!rc)
        rc = text_model_tokenize(m, buf_str(&text), text.len, &tokens, e);
    if (!rc)
        rc = measure(o, m, b, &tokens, e);
    tokens_release(&tokens);
    buf_release(&text);
    backend_free(b);
    text_model_close(m);
    return rc;
}
