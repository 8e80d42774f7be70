/* tokenizer_gguf.c - a tokenizer from GGUF's metadata (tokenizer.h).
 *
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer. What they leave open
 * is as llama.cpp's src/llama-vocab.cpp has it, since files are made for it.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/gguf.h"
#include "text/pretokenizers.h"
#include "text/regex.h"
#include "text/tokenizer_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* Copies nothing: the strings of an array lie in the mapped file. gguf_parse() has checked that
 * they lie inside it. The caller frees the list. */
static int string_spans(const struct gguf *g, const char *key, struct span **list, size_t *n,
                        struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    *list = NULL;
    *n = 0;
    if (!v)
        return 0;
    if (!v->array || v->type != GGUF_STRING)
        return err_set(e, ERR_FORMAT, "%s: not an array of strings", key);
    *list = mem_try_array(v->n + 1, sizeof(**list), key, e);
    if (!*list)
        return ERR_NOMEM;
    size_t left = v->size;
    for (const unsigned char *p = v->data; *n < v->n; (*n)++) {
        uint64_t len = 0;
        for (int i = 0; i < 8 && left >= 8; i++)
            len |= (uint64_t)p[i] << (8 * i);
        if (left < 8 || len > left - 8)
            return err_set(e, ERR_FORMAT, "%s: string %zu is cut off", key, *n);
        (*list)[*n] = (struct span){(const char *)p + 8, (size_t)len};
        p += 8 + len;
        left -= 8 + (size_t)len;
    }
    return 0;
}

/* An array that must have an element for every token, or be absent. */
static int find_per_token(const struct gguf *g, const char *key, size_t n_tokens,
                          const struct gguf_value **v, struct err *e)
{
    *v = gguf_find(g, key);
    if (*v && (!(*v)->array || (*v)->n < n_tokens))
        return err_set(e, ERR_FORMAT, "%s: %zu elements for %zu tokens", key,
                       (*v)->array ? (*v)->n : (size_t)0, n_tokens);
    return 0;
}

static int read_kinds(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    const struct gguf_value *v;
    int rc = find_per_token(g, KEY("token_type"), t->vocab.n, &v, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < t->vocab.n; i++) {
        int64_t type = 1;
        if (v && !gguf_int_at(v, i, &type))
            return err_set(e, ERR_FORMAT, KEY("token_type") ": element %zu is no integer", i);
        t->kind[i] = type >= 1 && type <= 6 ? (uint8_t)(type - 1) : TOKEN_UNUSED;
    }
    return 0;
}

static bool is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* -- special tokens -- */

/* The id under a key: absent leaves the default, one that is no token counts as absent. */
static int read_id(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t *id,
                   struct err *e)
{
    int64_t v = -1;
    int rc = gguf_int(g, key, INT32_MIN, UINT32_MAX, &v, e);
    if (!rc && v >= 0 && (uint64_t)v < t->vocab.n)
        *id = (int32_t)v;
    if (*id >= 0 && (size_t)*id >= t->vocab.n)
        *id = -1;
    return rc;
}

static int read_specials(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    int32_t eot = -1, eom = -1;
    int rc = read_id(t, g, KEY("bos_token_id"), &t->bos, e);
    if (!rc)
        rc = read_id(t, g, KEY("eos_token_id"), &t->eos, e);
    if (!rc)
        rc = read_id(t, g, KEY("eot_token_id"), &eot, e);
    if (!rc)
        rc = read_id(t, g, KEY("eom_token_id"), &eom, e);
    if (!rc)
        rc = read_id(t, g, KEY("unknown_token_id"), &t->unknown, e);
    if (rc)
        return rc;
    tokenizer_find_ends(t, true);
    const int32_t ids[] = {t->eos, eot, eom};
    for (size_t i = 0; i < 3; i++)
        if (ids[i] >= 0)
            t->end[ids[i]] = 1;
    return 0;
}

/* What TOKENIZE_ENDS adds; the defaults come in. */
static int read_ends(struct tokenizer *t, const struct gguf *g, bool add_bos, bool add_eos,
                     struct err *e)
{
    int rc = gguf_bool(g, KEY("add_bos_token"), &add_bos, e);
    if (!rc)
        rc = gguf_bool(g, KEY("add_eos_token"), &add_eos, e);
    if (add_bos && t->bos >= 0)
        t->before[t->n_before++] = t->bos;
    if (add_eos && t->eos >= 0)
        t->after[t->n_after++] = t->eos;
    return rc;
}

/* Phi-3's special tokens take the blanks after them, which its GGUF files do not say. */
static void strip_after_specials(struct tokenizer *t, const struct gguf *g)
{
    const char *name = gguf_str(g, "general.name");
    if (!name || (!strcasestr(name, "phi-3") && !strcasestr(name, "phi3")))
        return;
    for (size_t i = 0; i < t->n_added; i++) {
        struct span s = vocab_text(&t->vocab, t->added[i].id);
        t->added[i].rstrip = !is(s, "<unk>") && !is(s, "<s>") && !is(s, "<|endoftext|>");
    }
}

/* -- models -- */

/* One "left right" of tokenizer.ggml.merges; a merge of or into what is no token is left out, as
 * it can never be done. */
static bool read_merge(const struct tokenizer *t, struct span text, struct bpe_merge *m)
{
    char joined[2 * VOCAB_MAX_TOKEN];
    const char *blank = text.n > 1 ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
    if (!blank || text.n > sizeof(joined))
        return false;
    size_t n_left = (size_t)(blank - text.p), n_right = text.n - n_left - 1;
    memcpy(joined, text.p, n_left);
    memcpy(joined + n_left, blank + 1, n_right);
    int32_t left = vocab_find(&t->vocab, text.p, n_left);
    int32_t right = vocab_find(&t->vocab, blank + 1, n_right);
    int32_t result = vocab_find(&t->vocab, joined, n_left + n_right);
    *m = (struct bpe_merge){(uint32_t)left, (uint32_t)right, (uint32_t)result};
    return left >= 0 && right >= 0 && result >= 0;
}

static int read_merges(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct span *texts = NULL;
    struct bpe_merge *merges = NULL;
    size_t n, kept = 0;
    int rc = string_spans(g, KEY("merges"), &texts, &n, e);
    if (!rc && !texts)
        rc = err_set(e, ERR_FORMAT, "the file has no " KEY("merges"));
    if (!rc && n > 4 * VOCAB_MAX_TOKENS)
        rc = err_set(e, ERR_FORMAT, KEY("merges") ": %zu are too many", n);
    if (!rc) {
        merges = mem_try_array(n + 1, sizeof(*merges), "the merges", e);
        rc = merges ? 0 : ERR_NOMEM;
    }
    for (size_t i = 0; i < n && !rc; i++)
        kept += read_merge(t, texts[i], &merges[kept]);
    if (!rc)
        rc = bpe_init(&t->bpe, t->vocab.n, merges, kept, e);
    free(texts);
    free(merges);
    return rc;
}

/* Byte-level BPE ("gpt2"), or SentencePiece's with a list of merges (Gemma 4). */
static int read_bpe(struct tokenizer *t, const struct gguf *g, const char *pre_name, struct err *e)
{
    const struct pretokenizer *pre = pretokenizer_find(pre_name ? pre_name : "default");
    if (!pre)
        return err_set(e, ERR_UNSUPPORTED,
                       KEY("pre") ": the pre-tokenizer \"%s\" is not known; a newer version of "
                                  "this program may know it",
                       pre_name);
    t->model = MODEL_BPE;
    t->bytes = !pre->meta_space;
    t->spelling = t->bytes ? SPELLED_BYTES : SPELLED_BLANKS;
    t->byte_fallback = pre->meta_space;
    t->whole_words = pre->whole_words;
    if (pre->meta_space)
        t->normalizer.list[t->normalizer.n++] = (struct step){.kind = STEP_REPLACE,
                                                              .text = {META_SPACE, 3}};
    int rc = steps_add_pretokenizer(&t->splitter, pre, e);
    if (!rc)
        rc = read_merges(t, g, e);
    if (!rc)
        rc = read_specials(t, g, e);
    if (!rc && pre->no_bos && !gguf_find(g, KEY("bos_token_id")))
        t->bos = -1;
    return rc ? rc : read_ends(t, g, pre->add_bos, false, e);
}

/* The scores as floats; the caller frees them. */
static int read_scores(const struct tokenizer *t, const struct gguf *g, float **scores,
                       struct err *e)
{
    const struct gguf_value *v;
    int rc = find_per_token(g, KEY("scores"), t->vocab.n, &v, e);
    if (rc)
        return rc;
    *scores = mem_try_array(t->vocab.n, sizeof(**scores), "the scores", e);
    for (size_t i = 0; i < t->vocab.n && *scores && v; i++) {
        double score;
        if (!gguf_num_at(v, i, &score))
            return err_set(e, ERR_FORMAT, KEY("scores") ": element %zu is no number", i);
        (*scores)[i] = (float)score;
    }
    return *scores ? 0 : ERR_NOMEM;
}

static int find_charsmap(const struct gguf *g, struct span *data, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, KEY("precompiled_charsmap"));
    if (!v)
        return 0;
    if (!v->array || (v->type != GGUF_I8 && v->type != GGUF_U8))
        return err_set(e, ERR_FORMAT, KEY("precompiled_charsmap") ": not an array of bytes");
    *data = (struct span){(const char *)v->data, v->size};
    return 0;
}

/* SentencePiece's BPE ("llama") or Unigram ("t5"). */
static int read_sentencepiece(struct tokenizer *t, const struct gguf *g, bool unigram,
                              struct err *e)
{
    struct sentencepiece s = {.unigram = unigram, .prefix = !unigram};
    float *scores = NULL;
    t->bos = unigram ? -1 : 1;
    t->eos = unigram ? 1 : 2;
    t->unknown = unigram ? 2 : 0;
    t->byte_fallback = !unigram;
    int rc = gguf_bool(g, KEY("add_space_prefix"), &s.prefix, e);
    if (!rc)
        rc = gguf_bool(g, KEY("remove_extra_whitespaces"), &s.collapse, e);
    if (!rc)
        rc = find_charsmap(g, &s.charsmap, e);
    if (!rc)
        rc = read_specials(t, g, e);
    if (!rc)
        rc = read_scores(t, g, &scores, e);
    s.scores = scores;
    if (!rc)
        rc = tokenizer_make_sentencepiece(t, &s, e);
    free(scores);
    return rc ? rc : read_ends(t, g, !unigram, unigram, e);
}

/* BERT's WordPiece ("bert"): the converter writes "▁the" for "the" and "ing" for "##ing". */
static int read_wordpiece(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    bool lowercase = true;
    int32_t sep = 102;
    t->model = MODEL_WORDPIECE;
    t->word_prefix = (struct span){META_SPACE, 3};
    t->max_word = 100;
    t->strip_first_space = true;
    t->bos = 101;
    t->unknown = 100;
    int rc = read_specials(t, g, e);
    if (!rc)
        rc = read_id(t, g, KEY("cls_token_id"), &t->bos, e);
    if (!rc)
        rc = read_id(t, g, KEY("seperator_token_id"), &sep, e); /* the key is misspelled so */
    if (!rc)
        rc = gguf_bool(g, KEY("normalizer.lowercase"), &lowercase, e);
    bool accents = lowercase;
    if (!rc)
        rc = gguf_bool(g, KEY("normalizer.strip_accents"), &accents, e);
    if (rc)
        return rc;
    steps_add_bert_normalizer(&t->normalizer, true, true, accents, lowercase);
    if (t->bos >= 0)
        t->before[t->n_before++] = t->bos;
    if (sep >= 0)
        t->after[t->n_after++] = sep;
    return steps_add_bert_splitter(&t->splitter, e);
}

static int read_model(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    const char *model = gguf_str(g, KEY("model")), *pre = gguf_str(g, KEY("pre"));
    t->bos = t->eos = t->unknown = -1;
    if (!model)
        return err_set(e, ERR_FORMAT, "the file has no " KEY("model"));
    if (strcmp(model, "gpt2") == 0)
        return read_bpe(t, g, pre, e);
    if (strcmp(model, "gemma4") == 0)
        return read_bpe(t, g, "gemma4", e);
    if (strcmp(model, "llama") == 0)
        return read_sentencepiece(t, g, false, e);
    if (strcmp(model, "t5") == 0)
        return read_sentencepiece(t, g, true, e);
    if (strcmp(model, "bert") == 0)
        return read_wordpiece(t, g, e);
    return err_set(e, ERR_UNSUPPORTED,
                   KEY("model") ": tokenizers of the kind \"%s\" are not supported", model);
}

static int read_vocab(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct span *tokens = NULL;
    size_t n;
    int rc = string_spans(g, KEY("tokens"), &tokens, &n, e);
    if (!rc && n == 0)
        rc = err_set(e, ERR_FORMAT, "the file has no " KEY("tokens"));
    if (!rc)
        rc = vocab_init(&t->vocab, tokens, n, e);
    free(tokens);
    if (rc)
        return rc;
    rc = tokenizer_reserve(t, e);
    return rc ? rc : read_kinds(t, g, e);
}

int tokenizer_from_gguf(struct tokenizer **out, const struct gguf *g, struct err *e)
{
    struct tokenizer *t = mem_alloc(sizeof(*t));
    *out = NULL;
    int rc = read_vocab(t, g, e);
    if (!rc)
        rc = read_model(t, g, e);
    if (!rc)
        rc = tokenizer_make_pieces(t, e);
    if (!rc)
        rc = tokenizer_add_by_kind(t, e);
    if (!rc)
        strip_after_specials(t, g);
    if (rc) {
        tokenizer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}
