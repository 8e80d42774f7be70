/* text_model.c - see text_model.h. */
#include "pipeline/text_model.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/json.h"
#include "format/weights.h"
#include "text/chat.h"
#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG ((size_t)1 << 20)

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
        return tokenizer_open(&m->tokenizer, m->folder, e); /* it names its files */
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

/* ---- chat template ---- */

/* The spelling of a special token as a string; heap, or NULL. */
static char *spelling(const struct text_model *m, int32_t id)
{
    struct span s = tokenizer_piece(m->tokenizer, id);
    return id >= 0 ? mem_strndup(s.p, s.n) : NULL;
}

static int open_chat(struct text_model *m, const char *path, struct err *e)
{
    const struct gguf *g = gguf_of(m->file);
    char *bos = spelling(m, tokenizer_bos(m->tokenizer));
    char *eos = spelling(m, tokenizer_eos(m->tokenizer));
    struct chat_tokens tokens = {bos, eos};
    int rc = g ? chat_template_from_gguf(&m->chat, g, &tokens, e)
               : chat_template_from_folder(&m->chat, m->folder, &tokens, e);
    if (rc)
        err_prefix(e, "%s", path);
    free(bos);
    free(eos);
    return rc;
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

static int number(const struct json_doc *d, const char *key, float *v, struct err *e)
{
    double x = (double)*v;
    int rc = json_doc_num(d, key, &x, e);
    *v = (float)x;
    return rc;
}

/* generation_config.json of a Hugging Face folder. */
static int read_generation_config(struct text_model *m, struct err *e)
{
    char *path = file_join(m->folder, "generation_config.json");
    struct json_doc d = {0};
    int64_t top_k = m->sampler.top_k;
    int rc = 0;
    if (!gguf_of(m->file) && file_exists(path)) {
        rc = json_doc_read(&d, path, MAX_CONFIG, e);
        if (!rc)
            rc = json_doc_int(&d, "top_k", 0, INT32_MAX, &top_k, e);
        if (!rc)
            rc = number(&d, "temperature", &m->sampler.temperature, e);
        if (!rc)
            rc = number(&d, "top_p", &m->sampler.top_p, e);
        if (!rc)
            rc = number(&d, "min_p", &m->sampler.min_p, e);
        if (!rc)
            rc = number(&d, "repetition_penalty", &m->sampler.repeat_penalty, e);
    }
    m->sampler.top_k = (int)top_k;
    json_doc_release(&d);
    free(path);
    return rc;
}

int text_model_open(struct text_model **out, const char *path, struct err *e)
{
    struct text_model *m = mem_alloc(sizeof(*m));
    *out = NULL;
    pthread_mutex_init(&m->lock, NULL);
    m->folder = file_is_dir(path) ? mem_strdup(path) : file_folder(path);
    int rc = checkpoint_open(&m->file, path, e);
    if (!rc)
        rc = language_open(&m->language, m->file, e);
    if (!rc)
        rc = open_tokenizer(m, path, e);
    if (!rc)
        rc = check_vocabulary(m, path, e);
    if (!rc)
        rc = list_pieces(m, e);
    if (!rc)
        rc = open_chat(m, path, e);
    if (!rc) {
        read_name(m, path);
        read_sampling(m);
        rc = read_generation_config(m, e);
    }
    if (rc)
        text_model_close(m);
    else
        *out = m;
    return rc;
}

void text_model_close(struct text_model *m)
{
    if (!m)
        return;
    free((void *)m->pieces.bytes);
    free((void *)m->pieces.n_bytes);
    free((void *)m->pieces.control);
    token_trie_free(m->trie);
    pthread_mutex_destroy(&m->lock);
    chat_template_free(m->chat);
    tokenizer_free(m->tokenizer);
    language_close(m->language);
    checkpoint_close(m->file);
    free(m->name);
    free(m->folder);
    free(m);
}

/* ---- texts ---- */

int text_model_tokenize(const struct text_model *m, const char *text, size_t n, struct tokens *out,
                        struct err *e)
{
    return tokenizer_encode(m->tokenizer, (struct span){text, n}, TOKENIZE_SPECIAL | TOKENIZE_ENDS,
                            out, e);
}

static bool begins_with(const struct buf *text, struct span s)
{
    return s.n > 0 && text->len >= s.n && memcmp(text->data, s.p, s.n) == 0;
}

int text_model_chat(const struct text_model *m, const struct chat_request *r, struct tokens *out,
                    struct buf *copy, struct err *e)
{
    struct buf text;
    unsigned flags = TOKENIZE_SPECIAL;
    buf_init(&text, TOKENIZER_TEXT_MAX);
    int rc = chat_render(m->chat, r, &text, e);
    if (!rc && buf_failed(&text))
        rc = err_set(e, ERR_ARG, "the conversation is longer than %zu MiB",
                     TOKENIZER_TEXT_MAX >> 20);
    if (!begins_with(&text, tokenizer_piece(m->tokenizer, tokenizer_bos(m->tokenizer))))
        flags |= TOKENIZE_ENDS;
    if (!rc)
        rc = tokenizer_encode(m->tokenizer, (struct span){buf_str(&text), text.len}, flags, out, e);
    if (copy)
        buf_append(copy, buf_str(&text), text.len);
    buf_release(&text);
    return rc;
}

int text_model_trie(struct text_model *m, const struct token_trie **trie, struct err *e)
{
    pthread_mutex_lock(&m->lock);
    int rc = m->trie ? 0 : token_trie_new(&m->trie, &m->pieces, e);
    *trie = m->trie;
    pthread_mutex_unlock(&m->lock);
    return rc;
}
