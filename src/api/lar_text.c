/* lar_text.c - see lar.h: language models; a struct lar_generate becomes a request. */
#include "lar.h"

#include "api/handles.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/json.h"
#include "pipeline/generate.h"
#include "pipeline/text_form.h"
#include "pipeline/text_model.h"
#include "tensor/backend.h"
#include "text/chat.h"
#include "text/detokenizer.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- models ---- */

static int open_generator(struct lar_text_model *m, const struct lar_text_options *o, struct err *e)
{
    struct generator_options g;
    generator_options_init(&g, m->lar->backend, m->model);
    if (o && o->n_ctx)
        g.n_ctx = o->n_ctx;
    if (o && o->cache_type) {
        g.cache_type = dtype_from_name(o->cache_type);
        if (g.cache_type == DTYPE_OTHER)
            return err_set(e, ERR_ARG, "a cache of type \"%s\": it can be f16, q8_0 or q4_0",
                           o->cache_type);
    }
    return generator_new(&m->generator, &g, e);
}

int lar_text_model_open(struct lar_text_model **out, struct lar *lar, const char *path,
                        const struct lar_text_options *o, struct lar_error *e)
{
    struct err own = {0};
    struct lar_text_model *m = mem_alloc(sizeof(*m));
    *out = NULL;
    m->lar = lar;
    int rc = text_model_open(&m->model, path, &own);
    if (!rc)
        rc = open_generator(m, o, &own);
    if (rc)
        lar_text_model_close(m);
    else
        *out = m;
    return api_report(rc, &own, e);
}

void lar_text_model_close(struct lar_text_model *m)
{
    if (!m)
        return;
    generator_free(m->generator);
    text_model_close(m->model);
    free(m);
}

const char *lar_text_model_name(const struct lar_text_model *m)
{
    return m->model->name;
}

/* ---- tokens ---- */

int lar_tokenize(const struct lar_text_model *m, const char *text, int special, int32_t *ids,
                 int max, struct lar_error *e)
{
    struct err own = {0};
    struct tokens tokens = {0};
    int rc = tokenizer_encode(m->model->tokenizer, (struct span){text, strlen(text)},
                              TOKENIZE_ENDS | (special ? TOKENIZE_SPECIAL : 0), &tokens, &own);
    for (int i = 0; i < max && (size_t)i < tokens.n && !rc; i++)
        ids[i] = tokens.ids[i];
    int n = (int)tokens.n;
    tokens_release(&tokens);
    return rc ? api_report(rc, &own, e) : n;
}

int lar_detokenize(const struct lar_text_model *m, const int32_t *ids, int n, char *text,
                   size_t size)
{
    struct detokenizer d;
    struct buf all;
    buf_init(&all, INT_MAX);
    detokenizer_init(&d, m->model->tokenizer, true);
    for (int i = 0; i < n; i++)
        detokenizer_push(&d, ids[i], &all);
    detokenizer_flush(&d, &all);
    size_t len = all.len, taken = size == 0 || len < size ? len : size - 1;
    if (size > 0) {
        memcpy(text, buf_str(&all), taken);
        text[taken] = '\0';
    }
    buf_release(&all);
    return (int)len;
}

/* ---- answers ---- */

/* A running lar_generate(). */
struct answering {
    const struct lar_generate *g;
    struct lar *lar;
    struct lar_generated result;
    bool cancelled; /* by the callback */
    int rc;
    struct err *e;
};

static void on_event(const struct generate_event *ev, void *ctx)
{
    struct answering *a = ctx;
    if (ev->n_text > 0 && a->g->on_text && !a->cancelled &&
        a->g->on_text(ev->text, ev->n_text, a->g->ctx)) {
        a->cancelled = true;
        lar_cancel(a->lar);
    }
    if (!ev->end)
        return;
    a->result = (struct lar_generated){
        .finish = ev->finish == GENERATE_STOP ? LAR_FINISH_STOP : LAR_FINISH_LENGTH,
        .n_prompt = ev->timings.n_prompt,
        .n_cached = ev->timings.n_cached,
        .n_generated = ev->timings.n_generated,
        .prompt_seconds = ev->timings.prompt,
        .generation_seconds = ev->timings.generation,
    };
    if (ev->error)
        a->rc = err_set(a->e, ev->error->code, "%s", ev->error->text);
    else if (ev->finish == GENERATE_CANCELLED || a->cancelled)
        a->rc = err_set(a->e, ERR_CANCELLED, "cancelled");
}

static int render(const struct lar_text_model *m, const struct lar_generate *g,
                  struct tokens *prompt, struct err *e)
{
    json_t *messages = json_array();
    int rc = 0;
    for (int i = 0; i < g->n_messages && !rc; i++) {
        json_t *x = json_pack("{s:s, s:s}", "role", g->messages[i].role, "content",
                              g->messages[i].content);
        if (!x)
            rc = err_set(e, ERR_ARG, "message %d: role and content must be UTF-8", i);
        else
            json_array_append_new(messages, x);
    }
    struct chat_request chat = {.messages = messages, .add_generation_prompt = true};
    if (!rc)
        rc = text_model_chat(m->model, &chat, prompt, NULL, e);
    json_decref(messages);
    return rc;
}

void lar_generate_init(struct lar_generate *g, const struct lar_text_model *m)
{
    const struct token_sampler_params *p = &m->model->sampler;
    *g = (struct lar_generate){
        .max_tokens = -1,
        .temperature = (double)p->temperature,
        .top_k = p->top_k,
        .top_p = (double)p->top_p,
        .min_p = (double)p->min_p,
        .repeat_penalty = (double)p->repeat_penalty,
        .presence_penalty = (double)p->presence_penalty,
        .frequency_penalty = (double)p->frequency_penalty,
    };
}

static struct generate_request request(const struct lar_text_model *m, const struct lar_generate *g)
{
    struct generate_request r;
    generate_request_init(&r, m->model);
    r.sampler.temperature = (float)g->temperature;
    r.sampler.top_k = g->top_k;
    r.sampler.top_p = (float)g->top_p;
    r.sampler.min_p = (float)g->min_p;
    r.sampler.repeat_penalty = (float)g->repeat_penalty;
    r.sampler.presence_penalty = (float)g->presence_penalty;
    r.sampler.frequency_penalty = (float)g->frequency_penalty;
    r.sampler.seed = g->seed;
    r.max_tokens = g->max_tokens;
    r.stop = g->stop;
    r.n_stop = g->n_stop;
    r.cancel = &m->lar->cancel;
    r.on_event = on_event;
    return r;
}

static int read_form(const struct lar_text_model *m, const struct lar_generate *g,
                     struct text_form *f, struct err *e)
{
    struct json_doc schema = {0};
    int rc = 0;
    if (g->grammar && g->json_schema)
        return err_set(e, ERR_ARG, "give either a grammar or a JSON Schema");
    if (g->grammar)
        return text_form_gbnf(f, m->model, g->grammar, strlen(g->grammar), e);
    if (g->json_schema) {
        rc = json_doc_parse(&schema, "json_schema", g->json_schema, strlen(g->json_schema), e);
        if (!rc)
            rc = text_form_json(f, m->model, schema.root, e);
        json_doc_release(&schema);
    }
    return rc;
}

int lar_generate(struct lar_text_model *m, const struct lar_generate *g,
                 struct lar_generated *result, struct lar_error *e)
{
    struct err own = {0};
    struct answering a = {.g = g, .lar = m->lar, .e = &own};
    struct generate_request r = request(m, g);
    struct tokens prompt = {0};
    struct text_form form = {0};
    int id, rc;
    atomic_store(&m->lar->cancel, false);
    if (!g->prompt == !g->n_messages)
        rc = err_set(&own, ERR_ARG, "give either messages or a prompt");
    else if (g->prompt)
        rc = text_model_tokenize(m->model, g->prompt, strlen(g->prompt), &prompt, &own);
    else
        rc = render(m, g, &prompt, &own);
    r.prompt = prompt.ids;
    r.n_prompt = (int)prompt.n;
    r.ctx = &a;
    if (!rc)
        rc = read_form(m, g, &form, &own);
    r.constraint = form.constraint;
    if (!rc)
        rc = generator_add(m->generator, &r, &id, &own);
    tokens_release(&prompt);
    while (!rc && generator_step(m->generator) > 0) {
    }
    text_form_release(&form);
    if (result)
        *result = a.result;
    return api_report(rc ? rc : a.rc, &own, e);
}
