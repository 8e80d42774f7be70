/* tokenizer_json.c - a tokenizer from Hugging Face's tokenizer.json (tokenizer.h). */
#include "text/tokenizer_json.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME  "tokenizer.json"
#define MAX_MERGES ((size_t)8 << 20)

static bool is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static struct span string_span(const json_t *v)
{
    return json_is_string(v) ? (struct span){json_string_value(v), json_string_length(v)}
                             : (struct span){"", 0};
}

static int32_t find(const struct tokenizer *t, struct span s)
{
    return vocab_find(&t->vocab, s.p, s.n);
}

/* -- the vocabulary -- */

/* The tokens by id while they are gathered. */
struct gathered {
    struct span *list; /* [cap] */
    size_t n, cap;
};

static int put_token(struct gathered *g, json_int_t id, struct span text, struct err *e)
{
    if (id < 0 || (size_t)id >= VOCAB_MAX_TOKENS)
        return err_set(e, ERR_FORMAT, FILE_NAME ": the token \"%.*s\" has the id %lld",
                       (int)(text.n < 64 ? text.n : 64), text.p, (long long)id);
    if ((size_t)id >= g->cap) {
        size_t cap = 2 * (size_t)id + 1024;
        struct span *list = realloc(g->list, cap * sizeof(*list));
        if (!list)
            return err_set(e, ERR_NOMEM, "not enough memory for %zu tokens", cap);
        memset(list + g->cap, 0, (cap - g->cap) * sizeof(*list));
        g->list = list;
        g->cap = cap;
    }
    g->list[id] = text;
    if ((size_t)id >= g->n)
        g->n = (size_t)id + 1;
    return 0;
}

/* {"text": id, ...} of BPE and WordPiece, [["text", score], ...] of Unigram. */
static int gather_model(struct gathered *g, const json_t *model, struct err *e)
{
    json_t *vocab = json_object_get(model, "vocab");
    const char *key;
    json_t *v;
    int rc = 0;
    if (json_is_object(vocab)) {
        json_object_foreach(vocab, key, v)
        {
            rc = rc ? rc
                    : put_token(g, json_is_integer(v) ? json_integer_value(v) : -1,
                                (struct span){key, strlen(key)}, e);
        }
        return rc;
    }
    if (!json_is_array(vocab))
        return err_set(e, ERR_FORMAT, FILE_NAME ": the model has no vocab");
    for (size_t i = 0; i < json_array_size(vocab) && !rc; i++)
        rc = put_token(g, (json_int_t)i, string_span(json_array_get(json_array_get(vocab, i), 0)),
                       e);
    return rc;
}

static int gather_added(struct gathered *g, const json_t *added, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < json_array_size(added) && !rc; i++) {
        const json_t *v = json_array_get(added, i), *id = json_object_get(v, "id");
        struct span text = json_text(v, "content");
        if (!json_is_integer(id) || text.n == 0)
            return err_set(e, ERR_FORMAT, FILE_NAME ": added token %zu has no id or content", i);
        rc = put_token(g, json_integer_value(id), text, e);
    }
    return rc;
}

/* "<0x41>" */
static bool is_byte_token(struct span s)
{
    return s.n == 6 && memcmp(s.p, "<0x", 3) == 0 && s.p[5] == '>';
}

static int read_vocab(struct tokenizer *t, const json_t *root, struct err *e)
{
    const json_t *model = json_object_get(root, "model");
    struct gathered g = {0};
    int rc = gather_model(&g, model, e);
    if (!rc)
        rc = gather_added(&g, json_object_get(root, "added_tokens"), e);
    if (!rc && g.n == 0)
        rc = err_set(e, ERR_FORMAT, FILE_NAME ": it has no tokens");
    if (!rc)
        rc = vocab_init(&t->vocab, g.list, g.n, e);
    free(g.list);
    if (rc)
        return rc;
    t->byte_fallback = json_flag(model, "byte_fallback", false);
    rc = tokenizer_reserve(t, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < t->vocab.n && t->byte_fallback; i++)
        if (is_byte_token(vocab_text(&t->vocab, (int32_t)i)))
            t->kind[i] = TOKEN_BYTE;
    return 0;
}

static int read_added(struct tokenizer *t, const json_t *added, struct err *e)
{
    size_t n = json_array_size(added);
    t->added = mem_try_array(n + 1, sizeof(*t->added), "the added tokens", e);
    if (!t->added)
        return ERR_NOMEM;
    for (; t->n_added < n; t->n_added++) {
        const json_t *v = json_array_get(added, t->n_added);
        int32_t id = (int32_t)json_integer_value(json_object_get(v, "id"));
        bool special = json_flag(v, "special", false);
        t->kind[id] = special ? TOKEN_CONTROL : TOKEN_USER;
        t->added[t->n_added] = (struct added){
            .id = id,
            .special = special,
            .normalized = json_flag(v, "normalized", !special),
            .single_word = json_flag(v, "single_word", false),
            .lstrip = json_flag(v, "lstrip", false),
            .rstrip = json_flag(v, "rstrip", false),
        };
    }
    return 0;
}

/* -- models -- */

/* "left right", or ["left", "right"] since a token may hold a blank. */
static int read_merge(const struct tokenizer *t, const json_t *v, struct buf *joined,
                      struct bpe_merge *m)
{
    struct span left = string_span(json_array_get(v, 0)), right = string_span(json_array_get(v, 1));
    if (json_is_string(v)) {
        struct span both = string_span(v);
        const char *blank = both.n > 1 ? memchr(both.p + 1, ' ', both.n - 1) : NULL;
        if (!blank)
            return ERR_FORMAT;
        left = (struct span){both.p, (size_t)(blank - both.p)};
        right = (struct span){blank + 1, both.n - left.n - 1};
    }
    size_t skip = right.n >= t->char_prefix.n ? t->char_prefix.n : 0;
    buf_reset(joined);
    buf_append(joined, left.p, left.n);
    buf_append(joined, right.p + skip, right.n - skip);
    int32_t l = find(t, left), r = find(t, right);
    int32_t result = vocab_find(&t->vocab, buf_str(joined), joined->len);
    *m = (struct bpe_merge){(uint32_t)l, (uint32_t)r, (uint32_t)result};
    return l < 0 || r < 0 || result < 0 ? ERR_FORMAT : 0;
}

static int read_merges(struct tokenizer *t, const json_t *list, struct err *e)
{
    size_t n = json_array_size(list);
    struct buf joined;
    if (n > MAX_MERGES)
        return err_set(e, ERR_FORMAT, FILE_NAME ": %zu merges are too many", n);
    struct bpe_merge *merges = mem_try_array(n + 1, sizeof(*merges), "the merges", e);
    if (!merges)
        return ERR_NOMEM;
    buf_init(&joined, SIZE_MAX / 2);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (read_merge(t, json_array_get(list, i), &joined, &merges[i]))
            rc = err_set(e, ERR_FORMAT,
                         FILE_NAME ": merge %zu is not \"left right\" of and into tokens", i);
    if (!rc)
        rc = bpe_init(&t->bpe, t->vocab.n, merges, n, e);
    buf_release(&joined);
    free(merges);
    return rc;
}

static int read_bpe(struct tokenizer *t, const json_t *model, struct err *e)
{
    t->model = MODEL_BPE;
    t->whole_words = json_flag(model, "ignore_merges", false);
    t->fuse_unknown = json_flag(model, "fuse_unk", false);
    struct span prefix = json_text(model, "continuing_subword_prefix");
    struct span suffix = json_text(model, "end_of_word_suffix");
    t->char_prefix = (struct span){arena_strndup(&t->arena, prefix.p, prefix.n), prefix.n};
    t->char_suffix = (struct span){arena_strndup(&t->arena, suffix.p, suffix.n), suffix.n};
    struct steps *s = &t->splitter;
    if (s->n > 0 && s->list[s->n - 1].kind == STEP_SPELL_BYTES && !prefix.n && !suffix.n) {
        t->bytes = true; /* the same, faster: bytes need not be spelled to be looked up */
        s->n--;
    }
    return read_merges(t, json_object_get(model, "merges"), e);
}

static int read_unigram(struct tokenizer *t, const json_t *model, struct err *e)
{
    const json_t *vocab = json_object_get(model, "vocab"), *id = json_object_get(model, "unk_id");
    t->model = MODEL_UNIGRAM;
    t->fuse_unknown = true;
    if (json_is_integer(id) && json_integer_value(id) >= 0 &&
        (size_t)json_integer_value(id) < t->vocab.n)
        t->unknown = (int32_t)json_integer_value(id);
    t->score = mem_try_array(t->vocab.n, sizeof(*t->score), "the scores", e);
    if (!t->score)
        return ERR_NOMEM;
    for (size_t i = 0; i < json_array_size(vocab); i++) {
        const json_t *score = json_array_get(json_array_get(vocab, i), 1);
        t->score[i] = json_number_value(score);
        if (!json_is_number(score) || !isfinite(t->score[i]))
            return err_set(e, ERR_FORMAT, FILE_NAME ": token %zu has no score", i);
    }
    return tokenizer_index_unigram(t, e);
}

static int read_wordpiece(struct tokenizer *t, const json_t *model, bool only_words)
{
    struct span prefix = json_text(model, "continuing_subword_prefix");
    const json_t *most = json_object_get(model, "max_input_chars_per_word");
    t->model = MODEL_WORDPIECE;
    t->whole_words = true;
    t->inner_prefix = (struct span){arena_strndup(&t->arena, prefix.p, prefix.n), prefix.n};
    t->max_word = json_is_integer(most) && json_integer_value(most) > 0
                      ? (size_t)json_integer_value(most)
                      : 100;
    if (only_words)
        t->max_word = 0; /* what is no token is unknown */
    return 0;
}

static int read_model(struct tokenizer *t, const json_t *model, struct err *e)
{
    struct span type = json_text(model, "type"), unknown = json_text(model, "unk_token");
    bool unigram = json_is_array(json_object_get(model, "vocab"));
    bool bpe = json_is_array(json_object_get(model, "merges"));
    t->unknown = find(t, unknown);
    if (is(type, "BPE") || (type.n == 0 && bpe))
        return read_bpe(t, model, e);
    if (unigram && (is(type, "Unigram") || type.n == 0))
        return read_unigram(t, model, e);
    if (!unigram && (is(type, "WordPiece") || is(type, "WordLevel") || type.n == 0))
        return read_wordpiece(t, model, is(type, "WordLevel"));
    return err_set(e, ERR_UNSUPPORTED, FILE_NAME ": a model \"%.*s\" with %s is not supported",
                   (int)(type.n < 64 ? type.n : 64), type.p, unigram ? "scores" : "ids");
}

/* -- what begins and ends a text -- */

static int put_end(struct tokenizer *t, int32_t id, bool before, struct err *e)
{
    size_t *n = before ? &t->n_before : &t->n_after;
    if (id < 0 || (size_t)id >= t->vocab.n)
        return err_set(e, ERR_FORMAT, FILE_NAME ": the post_processor adds what is no token");
    if (*n == TOKENIZER_MAX_ENDS)
        return err_set(e, ERR_UNSUPPORTED,
                       FILE_NAME ": the post_processor adds more than %d tokens",
                       TOKENIZER_MAX_ENDS);
    (before ? t->before : t->after)[(*n)++] = id;
    return 0;
}

/* [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, ...] */
static int read_template(struct tokenizer *t, const json_t *v, struct err *e)
{
    const json_t *list = json_object_get(v, "single"), *ids = json_object_get(v, "special_tokens");
    bool before = true;
    int rc = 0;
    for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
        const json_t *token = json_object_get(json_array_get(list, i), "SpecialToken");
        struct span name = json_text(token, "id");
        const json_t *own = json_object_get(json_object_get(ids, name.p), "ids");
        if (!token)
            before = false;
        else if (json_array_size(own) == 0)
            rc = put_end(t, find(t, name), before, e);
        for (size_t k = 0; token && k < json_array_size(own) && !rc; k++) {
            json_int_t id = json_integer_value(json_array_get(own, k));
            rc = put_end(t, id < 0 || id > INT32_MAX ? -1 : (int32_t)id, before, e);
        }
    }
    return rc;
}

/* ["[CLS]", 101] */
static int read_pair(struct tokenizer *t, const json_t *pair, bool before, struct err *e)
{
    json_int_t id = json_integer_value(json_array_get(pair, 1));
    return put_end(t, id < 0 || id > INT32_MAX ? -1 : (int32_t)id, before, e);
}

static int read_post_processor(struct tokenizer *t, const json_t *v, int depth, struct err *e)
{
    struct span type = json_text(v, "type");
    int rc = 0;
    if (!v || json_is_null(v) || is(type, "ByteLevel"))
        return 0;
    if (is(type, "TemplateProcessing"))
        return read_template(t, v, e);
    if (is(type, "BertProcessing") || is(type, "RobertaProcessing")) {
        rc = read_pair(t, json_object_get(v, "cls"), true, e);
        return rc ? rc : read_pair(t, json_object_get(v, "sep"), false, e);
    }
    if (!is(type, "Sequence") || depth > 2)
        return err_set(e, ERR_UNSUPPORTED,
                       FILE_NAME ": the post_processor \"%.*s\" is not "
                                 "supported",
                       (int)(type.n < 64 ? type.n : 64), type.p);
    const json_t *list = json_object_get(v, "processors");
    for (size_t i = 0; i < json_array_size(list) && !rc; i++)
        rc = read_post_processor(t, json_array_get(list, i), depth + 1, e);
    return rc;
}

/* A special token of tokenizer_config.json: its text, or an object with it. */
static int32_t config_token(const struct tokenizer *t, const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    return find(t, json_is_object(v) ? json_text(v, "content") : string_span(v));
}

static void read_config(struct tokenizer *t, const json_t *config)
{
    bool template = t->n_before + t->n_after > 0;
    t->bos = config_token(t, config, "bos_token");
    t->eos = config_token(t, config, "eos_token");
    if (t->bos < 0 && t->n_before > 0)
        t->bos = t->before[0];
    if (!template && t->bos >= 0 && json_flag(config, "add_bos_token", false))
        t->before[t->n_before++] = t->bos;
    if (!template && t->eos >= 0 && json_flag(config, "add_eos_token", false))
        t->after[t->n_after++] = t->eos;
    if (t->eos >= 0)
        t->end[t->eos] = 1;
    tokenizer_find_ends(t, false);
}

static int read_root(struct tokenizer *t, const json_t *root, const json_t *config, struct err *e)
{
    const json_t *added = json_object_get(root, "added_tokens");
    t->bos = t->eos = t->unknown = -1;
    int rc = read_vocab(t, root, e);
    if (!rc)
        rc = read_added(t, added, e);
    if (!rc)
        rc = steps_read_normalizer(t, json_object_get(root, "normalizer"), e);
    if (!rc)
        rc = steps_read_splitter(t, json_object_get(root, "pre_tokenizer"), e);
    if (!rc)
        rc = steps_read_decoder(t, json_object_get(root, "decoder"), e);
    if (!rc)
        rc = read_model(t, json_object_get(root, "model"), e);
    if (!rc)
        rc = read_post_processor(t, json_object_get(root, "post_processor"), 0, e);
    if (rc)
        return rc;
    read_config(t, config);
    if (!t->bytes)
        rc = tokenizer_split_at_blanks(t, e);
    if (!rc)
        rc = tokenizer_make_pieces(t, e);
    return rc ? rc : tokenizer_index_added(t, e);
}

int tokenizer_from_root(struct tokenizer **out, const json_t *root, const json_t *config,
                        struct err *e)
{
    struct tokenizer *t = mem_alloc(sizeof(*t));
    int rc = read_root(t, root, config, e);
    *out = NULL;
    if (rc) {
        tokenizer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

int tokenizer_from_json(struct tokenizer **t, struct span json, struct span config, struct err *e)
{
    struct json_doc doc = {0}, more = {0};
    *t = NULL;
    int rc = json_doc_parse(&doc, FILE_NAME, json.p, json.n, e);
    if (!rc && config.n > 0)
        rc = json_doc_parse(&more, "tokenizer_config.json", config.p, config.n, e);
    if (!rc)
        rc = tokenizer_from_root(t, doc.root, more.root, e);
    json_doc_release(&doc);
    json_doc_release(&more);
    return rc;
}
