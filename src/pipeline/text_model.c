/* text_model.c - see text_model.h. */
#include "pipeline/text_model.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/weights.h"

#include <stdlib.h>
#include <string.h>

/* ---- vocabulary ---- */

static const struct gguf *gguf_of(const struct checkpoint *file)
{
    const struct weights *w = checkpoint_weights(file);
    return w->n_files > 0 && w->files[0]->is_gguf ? &w->files[0]->gguf : NULL;
}

static int open_tokenizer(struct text_model *m, const char *path, struct err *e)
{
    const struct gguf *g = gguf_of(m->file);
    if (!g)
        return err_set(e, ERR_UNSUPPORTED, "%s: a folder", path);
    int rc = tokenizer_from_gguf(&m->tokenizer, g, e);
    if (rc)
        err_prefix(e, "%s", path);
    return rc;
}

/* A vocabulary may be smaller than the logits, whose rows are filled up to a round number. */
static int check_vocabulary(const struct text_model *m, const char *path, struct err *e)
{
    size_t n = tokenizer_size(m->tokenizer);
    int n_vocab = language_params(m->language)->n_vocab;
    if (n > (size_t)n_vocab)
        return err_set(e, ERR_FORMAT, "%s: the tokenizer has %zu tokens, the model %d", path, n,
                       n_vocab);
    return 0;
}

static int list_pieces(struct text_model *m, struct err *e)
{
    size_t n = (size_t)language_params(m->language)->n_vocab;
    const char **bytes = mem_try_array(n, sizeof(*bytes), "a vocabulary", e);
    uint32_t *n_bytes = mem_try_array(n, sizeof(*n_bytes), "a vocabulary", e);
    uint8_t *control = mem_try_array(n, 1, "a vocabulary", e);
    m->pieces = (struct token_pieces){n, bytes, n_bytes, control};
    if (!bytes || !n_bytes || !control)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct span s = tokenizer_piece(m->tokenizer, (int32_t)i);
        control[i] = tokenizer_is_special(m->tokenizer, (int32_t)i);
        bytes[i] = s.p;
        n_bytes[i] = (uint32_t)s.n;
    }
    return 0;
}

/* ---- opening ---- */

static void read_name(struct text_model *m, const char *path)
{
    const char *name = checkpoint_meta(m->file, "general.name");
    size_t n;
    const char *base = file_base(path, &n);
    m->name = name && *name ? mem_strdup(name) : mem_strndup(base, n);
}

static void take(const struct gguf *g, const char *key, float *v)
{
    const struct gguf_value *x = gguf_find(g, key);
    double d;
    if (x && gguf_num_at(x, 0, &d))
        *v = (float)d;
}

/* Keys of gguf-py's constants.py. What is absurd is refused by the sampler, by name. */
static void read_sampling(struct text_model *m)
{
    const struct gguf *g = gguf_of(m->file);
    m->sampler = TOKEN_SAMPLER_DEFAULTS;
    if (!g)
        return;
    const struct gguf_value *k = gguf_find(g, "general.sampling.top_k");
    int64_t top_k;
    if (k && gguf_int_at(k, 0, &top_k) && top_k >= 0 && top_k <= INT32_MAX)
        m->sampler.top_k = (int)top_k;
    take(g, "general.sampling.temp", &m->sampler.temperature);
    take(g, "general.sampling.top_p", &m->sampler.top_p);
    take(g, "general.sampling.min_p", &m->sampler.min_p);
    take(g, "general.sampling.penalty_repeat", &m->sampler.repeat_penalty);
}

int text_model_open(struct text_model **out, const char *path, struct err *e)
{
    struct text_model *m = mem_alloc(sizeof(*m));
    *out = NULL;
    int rc = checkpoint_open(&m->file, path, e);
    if (!rc)
        rc = language_open(&m->language, m->file, e);
    if (!rc)
        rc = open_tokenizer(m, path, e);
    if (!rc)
        rc = check_vocabulary(m, path, e);
    if (!rc)
        rc = list_pieces(m, e);
    if (rc) {
        text_model_close(m);
        return rc;
    }
    read_name(m, path);
    read_sampling(m);
    *out = m;
    return 0;
}

void text_model_close(struct text_model *m)
{
    if (!m)
        return;
    free((void *)m->pieces.bytes);
    free((void *)m->pieces.n_bytes);
    free((void *)m->pieces.control);
    tokenizer_free(m->tokenizer);
    language_close(m->language);
    checkpoint_close(m->file);
    free(m->name);
    free(m);
}

/* ---- texts ---- */

int text_model_tokenize(const struct text_model *m, const char *text, size_t n, struct tokens *out,
                        struct err *e)
{
    return tokenizer_encode(m->tokenizer, (struct span){text, n}, TOKENIZE_SPECIAL | TOKENIZE_ENDS,
                            out, e);
}
