/* answer_options.c - see answer_options.h. */
#include "cli/answer_options.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/answer.h"
#include "cli/input.h"
#include "cli/options.h"
#include "format/json.h"
#include "pipeline/text_model.h"
#include "text/gbnf.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SCHEMA ((size_t)4 << 20)

/* Options that are others by another name: those of text_options.h. */
static const struct {
    enum option id;
    const char *name;
} same[] = {
    {OPTION_TEMPERATURE, "temperature"},
    {OPTION_TOP_K, "top_k"},
    {OPTION_TOP_P, "top_p"},
    {OPTION_MIN_P, "min_p"},
    {OPTION_REPEAT_PENALTY, "repeat_penalty"},
    {OPTION_PRESENCE_PENALTY, "presence_penalty"},
    {OPTION_FREQUENCY_PENALTY, "frequency_penalty"},
    {OPTION_MAX_TOKENS, "num_predict"},
    {OPTION_NUM_CTX, "num_ctx"},
    {OPTION_SEED, "seed"},
};

/* --set NAME=VALUE */
static int set_others(struct text_options *t, const struct option_value *v, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < v->n && !rc; i++) {
        char *name = mem_strdup(v->list[i]), *value = strchr(name, '=');
        if (value) {
            *value++ = '\0';
            rc = text_option_set(t, name, value, e);
        } else {
            rc = err_set(e, ERR_ARG, "wants a name, = and a value");
        }
        if (rc)
            err_prefix(e, "--set %s", v->list[i]);
        free(name);
    }
    return rc;
}

static int read_bias(struct answerer *a, const struct option_value *v, struct err *e)
{
    a->bias = mem_alloc((size_t)v->n * sizeof(*a->bias) + 1);
    for (int i = 0; i < v->n; i++) {
        char *end, *last = NULL;
        long id = strtol(v->list[i], &end, 10);
        float bias = *end == ':' ? strtof(end + 1, &last) : 0;
        if (end == v->list[i] || !last || last == end + 1 || *last || id < 0 || id > INT32_MAX)
            return err_set(e, ERR_ARG, "--logit-bias %s: write a token's id, a colon and a number",
                           v->list[i]);
        a->bias[i] = (struct token_bias){(int32_t)id, bias};
    }
    a->options.sampler.bias = a->bias;
    a->options.sampler.n_bias = (size_t)v->n;
    return 0;
}

static int read_grammar(struct answerer *a, const char *path, struct err *e)
{
    struct buf text;
    buf_init(&text, GBNF_MAX_TEXT);
    int rc = input_read(path, &text, "the grammar", e);
    if (!rc && (rc = text_form_gbnf(&a->form, a->model, buf_str(&text), text.len, e)))
        err_prefix(e, "%s", path);
    buf_release(&text);
    return rc;
}

static int read_format(struct answerer *a, const char *format, struct err *e)
{
    struct json_doc schema;
    if (strcmp(format, "json") == 0)
        return text_form_json(&a->form, a->model, NULL, e);
    int rc = json_doc_read(&schema, format, MAX_SCHEMA, e);
    if (rc)
        return rc;
    rc = text_form_json(&a->form, a->model, schema.root, e);
    if (rc)
        err_prefix(e, "%s", format);
    json_doc_release(&schema);
    return rc;
}

int answer_format(struct answerer *a, const char *format, struct err *e)
{
    struct text_form before = a->form;
    a->form = (struct text_form){0};
    int rc = *format ? read_format(a, format, e) : 0;
    struct text_form dropped = rc ? a->form : before;
    if (rc)
        a->form = before;
    text_form_release(&dropped);
    return rc;
}

static int read_form(struct answerer *a, struct err *e)
{
    const struct option_value *v = a->o->value;
    if (v[OPTION_GRAMMAR].given && v[OPTION_FORMAT].given)
        return err_set(e, ERR_ARG, "--grammar and --format: an answer has one form");
    if (v[OPTION_FORMAT].given)
        return read_format(a, v[OPTION_FORMAT].text, e);
    return v[OPTION_GRAMMAR].given ? read_grammar(a, v[OPTION_GRAMMAR].text, e) : 0;
}

int answer_options(struct answerer *a, struct err *e)
{
    const struct option_value *v = a->o->value;
    struct text_options *t = &a->options;
    int rc = 0;
    text_options_init(t, &a->model->sampler);
    for (size_t i = 0; i < sizeof(same) / sizeof(*same) && !rc; i++)
        if (v[same[i].id].given && (rc = text_option_set(t, same[i].name, v[same[i].id].text, e)))
            err_prefix(e, "--%s", option_rows[same[i].id].name);
    for (int i = 0; i < v[OPTION_STOP].n && !rc; i++)
        rc = *v[OPTION_STOP].list[i] ? text_option_set(t, "stop", v[OPTION_STOP].list[i], e)
                                     : err_set(e, ERR_ARG, "--stop: the text is empty");
    if (!rc)
        rc = set_others(t, &v[OPTION_SET], e);
    if (!rc && v[OPTION_LOGIT_BIAS].given)
        rc = read_bias(a, &v[OPTION_LOGIT_BIAS], e);
    t->sampler.pieces = &a->model->pieces;
    return rc ? rc : read_form(a, e);
}
