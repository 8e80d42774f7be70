/* text_form.c - see text_form.h. */
#include "pipeline/text_form.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/text_model.h"
#include "text/constraint.h"
#include "text/grammar.h"
#include "text/json_schema.h"

#include <jansson.h>
#include <stdlib.h>

/* The tokens that end an answer; owned. */
static int end_tokens(const struct text_model *m, int32_t **ends, size_t *n, struct err *e)
{
    size_t n_vocab = tokenizer_size(m->tokenizer);
    *n = 0;
    *ends = mem_try_array(n_vocab, sizeof(**ends), "a vocabulary", e);
    if (!*ends)
        return ERR_NOMEM;
    for (size_t i = 0; i < n_vocab; i++)
        if (tokenizer_is_end(m->tokenizer, (int32_t)i))
            (*ends)[(*n)++] = (int32_t)i;
    return 0;
}

static int constrain(struct text_form *f, struct text_model *m, struct err *e)
{
    const struct token_trie *trie;
    int32_t *ends = NULL;
    size_t n;
    int rc = text_model_trie(m, &trie, e);
    if (!rc)
        rc = end_tokens(m, &ends, &n, e);
    if (!rc)
        rc = constraint_new(&f->constraint, f->grammar, trie, ends, n, e);
    free(ends);
    return rc;
}

int text_form_gbnf(struct text_form *f, struct text_model *m, const char *text, size_t n,
                   struct err *e)
{
    *f = (struct text_form){0};
    int rc = grammar_from_gbnf(&f->grammar, text, n, e);
    return rc ? rc : constrain(f, m, e);
}

int text_form_json(struct text_form *f, struct text_model *m, const struct json_t *schema,
                   struct err *e)
{
    *f = (struct text_form){0};
    json_t *any = schema ? NULL : json_loads(JSON_SCHEMA_ANY_OBJECT, 0, NULL);
    int rc = grammar_from_json_schema(&f->grammar, schema ? schema : any, e);
    json_decref(any);
    return rc ? rc : constrain(f, m, e);
}

void text_form_reset(struct text_form *f)
{
    if (f->constraint)
        constraint_reset(f->constraint);
}

void text_form_release(struct text_form *f)
{
    constraint_free(f->constraint);
    grammar_free(f->grammar);
    *f = (struct text_form){0};
}
