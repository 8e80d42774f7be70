/* tokenizer_put.c - see tokenizer_put.h. Source of the form: llama.cpp's gguf-py/gguf/vocab.py and
 * convert_hf_to_gguf.py.
 */
#include "text/tokenizer_put.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "text/pretokenizers.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name
#define SPACE     "\xe2\x96\x81" /* U+2581 */

/* GGUF's numbers in token_type. */
enum kind { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5, BYTE = 6 };

struct work {
    const struct tokenizer_files *files;
    struct gguf_writer *w;
    struct arena arena;
    json_t *json, *config; /* owned */
    json_t *model;
    const char **tokens; /* [n] */
    int32_t *kinds;      /* [n] */
    size_t n;
};

static json_t *at(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *s = json_string_value(at(object, key));
    return s ? s : "";
}

/* ---- tokens ---- */

static int set_token(struct work *k, json_int_t id, const char *text, enum kind kind, struct err *e)
{
    if (id < 0 || (size_t)id >= k->n)
        return err_set(e, ERR_FORMAT,
                       "tokenizer.json: token \"%.64s\": its id %lld is not below %zu", text,
                       (long long)id, k->n);
    k->tokens[id] = arena_strdup(&k->arena, text);
    k->kinds[id] = kind;
    return 0;
}

static bool is_byte(const char *s)
{
    return strlen(s) == 6 && strncmp(s, "<0x", 3) == 0 && s[5] == '>';
}

static int read_added(struct work *k, struct err *e)
{
    json_t *list = at(k->json, "added_tokens"), *v;
    size_t i;
    int rc = 0;
    json_array_foreach(list, i, v)
    {
        const char *text = text_at(v, "content");
        if (!rc)
            rc = set_token(k, json_integer_value(at(v, "id")), text,
                           json_is_true(at(v, "special")) ? CONTROL : USER, e);
    }
    return rc;
}

/* Ids that nothing stands for are filled as llama.cpp does it. */
static int read_tokens(struct work *k, struct err *e)
{
    json_t *vocab = at(k->model, "vocab"), *added = at(k->json, "added_tokens"), *v;
    const char *key;
    size_t i;
    int rc = 0;
    k->n = json_object_size(vocab);
    json_array_foreach(added, i, v)
    {
        json_int_t id = json_integer_value(at(v, "id"));
        if (id >= 0 && (size_t)id < VOCAB_MAX_TOKENS && (size_t)id >= k->n)
            k->n = (size_t)id + 1;
    }
    k->n = k->n > k->files->n_vocab ? k->n : k->files->n_vocab;
    if (k->n == 0 || k->n > VOCAB_MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "tokenizer.json: %zu tokens", k->n);
    k->tokens = mem_try_array(k->n, sizeof(*k->tokens), "the tokens", e);
    k->kinds = k->tokens ? mem_try_array(k->n, sizeof(*k->kinds), "the tokens", e) : NULL;
    if (!k->kinds)
        return ERR_NOMEM;
    json_object_foreach(vocab, key, v)
    {
        if (!rc)
            rc = set_token(k, json_integer_value(v), key, is_byte(key) ? BYTE : NORMAL, e);
    }
    rc = rc ? rc : read_added(k, e);
    for (i = 0; !rc && i < k->n; i++)
        if (!k->tokens[i]) {
            k->tokens[i] = arena_printf(&k->arena, "[PAD%zu]", i);
            k->kinds[i] = UNUSED;
        }
    return rc;
}

static void put_array(struct work *k, const char *key, enum gguf_type type, const void *data)
{
    struct gguf_value v = {
        .key = key, .type = type, .array = true, .n = k->n, .data = data, .size = 4 * k->n};
    gguf_put_value(k->w, &v);
}

static void put_bool(struct work *k, const char *key, bool yes)
{
    unsigned char x = yes;
    struct gguf_value v = {.key = key, .type = GGUF_BOOL, .n = 1, .data = &x, .size = 1};
    gguf_put_value(k->w, &v);
}

/* "a b", as GGUF has merges; tokenizer.json may have them in pairs. */
static int read_merges(struct work *k, const char ***out, size_t *n, struct err *e)
{
    json_t *list = at(k->model, "merges"), *v;
    size_t i;
    *n = json_array_size(list);
    *out = mem_try_array(*n + 1, sizeof(**out), "the merges", e);
    if (!*out)
        return ERR_NOMEM;
    json_array_foreach(list, i, v)
    {
        const char *a = json_string_value(json_array_get(v, 0));
        const char *b = json_string_value(json_array_get(v, 1));
        const char *whole = json_string_value(v);
        if (!whole && (!a || !b))
            return err_set(e, ERR_FORMAT, "tokenizer.json: merge %zu is no pair of tokens", i);
        (*out)[i] = whole ? whole : arena_printf(&k->arena, "%s %s", a, b);
    }
    return 0;
}

/* ---- the kinds of tokenizers ---- */

static bool has_type(const json_t *v, const char *type)
{
    json_t *list = at(v, "pretokenizers"), *one;
    size_t i;
    if (strcmp(text_at(v, "type"), type) == 0)
        return true;
    json_array_foreach(list, i, one)
    {
        if (strcmp(text_at(one, "type"), type) == 0)
            return true;
    }
    return false;
}

/* Adds the pattern that a pre-tokenizer cuts by. False: GGUF has no name for it. */
static bool add_pattern(const json_t *v, const char *patterns[PRETOKENIZER_MAX_PATTERNS], int *n)
{
    const char *type = text_at(v, "type"), *pattern = NULL;
    if (json_is_true(at(v, "add_prefix_space")))
        return false; /* GGUF has a key for it, but not with byte-level BPE */
    if (strcmp(type, "Split") == 0)
        pattern = json_string_value(at(at(v, "pattern"), "Regex"));
    else if (strcmp(type, "Digits") == 0)
        pattern = json_is_true(at(v, "individual_digits")) ? "\\p{N}" : "\\p{N}+";
    else if (strcmp(type, "ByteLevel") == 0 && json_is_false(at(v, "use_regex")))
        return true;
    else if (strcmp(type, "ByteLevel") == 0)
        pattern = pretokenizer_gpt2;
    if (!pattern || *n == PRETOKENIZER_MAX_PATTERNS)
        return false;
    patterns[(*n)++] = pattern;
    return true;
}

static bool find_pre(const struct work *k, char name[PRETOKENIZER_NAME])
{
    const char *patterns[PRETOKENIZER_MAX_PATTERNS] = {0};
    json_t *pre = at(k->json, "pre_tokenizer"), *list = at(pre, "pretokenizers"), *v;
    bool known = true;
    size_t i;
    int n = 0;
    if (!list)
        known = add_pattern(pre, patterns, &n);
    json_array_foreach(list, i, v)
    {
        known = known && add_pattern(v, patterns, &n);
    }
    return known && pretokenizer_name(patterns, json_is_true(at(k->model, "ignore_merges")), name);
}

static int put_byte_level(struct work *k, struct err *e)
{
    char pre[PRETOKENIZER_NAME];
    const char **merges = NULL;
    size_t n;
    if (!find_pre(k, pre))
        return err_set(
            e, ERR_UNSUPPORTED,
            "tokenizer.json: its pre_tokenizer cuts words in a way that GGUF has no name "
            "for");
    int rc = read_merges(k, &merges, &n, e);
    if (!rc) {
        gguf_put_str(k->w, KEY("model"), "gpt2");
        gguf_put_str(k->w, KEY("pre"), pre);
        gguf_put_strs(k->w, KEY("merges"), merges, n);
    }
    free(merges);
    return rc;
}

/* Does a text get a blank in front? */
static bool has_prefix(const struct work *k)
{
    json_t *normalizer = at(k->json, "normalizer"), *pre = at(k->json, "pre_tokenizer"), *v;
    size_t i;
    bool prefix = strcmp(text_at(normalizer, "type"), "Prepend") == 0;
    if (strcmp(text_at(pre, "type"), "Metaspace") == 0)
        return strcmp(text_at(pre, "prepend_scheme"), "never") != 0;
    json_array_foreach(at(normalizer, "normalizers"), i, v)
    {
        prefix |= strcmp(text_at(v, "type"), "Prepend") == 0;
    }
    return prefix;
}

/* SentencePiece merges the pair whose token has the highest score: the earlier a token is made, the
 * higher. Tokens that no merge makes are never looked for. */
static int put_sentencepiece(struct work *k, struct err *e)
{
    const char **merges = NULL;
    float *scores = mem_try_array(k->n, sizeof(*scores), "the scores", e);
    size_t n = 0;
    int rc = scores ? read_merges(k, &merges, &n, e) : ERR_NOMEM;
    for (size_t i = 0; !rc && i < k->n; i++)
        scores[i] = -(float)n - 1;
    for (size_t i = n; !rc && i-- > 0;) {
        const char *blank = strchr(merges[i], ' ');
        char *whole = blank ? mem_printf("%.*s%s", (int)(blank - merges[i]), merges[i], blank + 1)
                            : mem_strdup(merges[i]);
        const json_t *id = at(at(k->model, "vocab"), whole);
        json_int_t x = json_is_integer(id) ? json_integer_value(id) : -1;
        if (x >= 0 && (size_t)x < k->n)
            scores[x] = -(float)i;
        free(whole);
    }
    if (!rc) {
        gguf_put_str(k->w, KEY("model"), "llama");
        gguf_put_str(k->w, KEY("pre"), "default");
        put_array(k, KEY("scores"), GGUF_F32, scores);
        put_bool(k, KEY("add_space_prefix"), has_prefix(k));
    }
    free(merges);
    free(scores);
    return rc;
}

/* "the" becomes "▁the", "##ing" becomes "ing". */
static int put_wordpiece(struct work *k)
{
    const json_t *normalizer = at(k->json, "normalizer");
    bool lower = !json_is_false(at(normalizer, "lowercase"));
    const json_t *accents = at(normalizer, "strip_accents");
    for (size_t i = 0; i < k->n; i++) {
        const char *s = k->tokens[i];
        if (k->kinds[i] == NORMAL)
            k->tokens[i] = strncmp(s, "##", 2) == 0 ? s + 2
                                                    : arena_printf(&k->arena, SPACE "%s", s);
    }
    gguf_put_str(k->w, KEY("model"), "bert");
    gguf_put_u32(k->w, KEY("token_type_count"), 2);
    put_bool(k, KEY("normalizer.lowercase"), lower);
    put_bool(k, KEY("normalizer.strip_accents"),
             json_is_boolean(accents) ? json_is_true(accents) : lower);
    return 0;
}

static int put_model(struct work *k, struct err *e)
{
    const char *type = text_at(k->model, "type");
    if (strcmp(type, "WordPiece") == 0)
        return put_wordpiece(k);
    if (*type && strcmp(type, "BPE") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer.json: tokenizers of the kind \"%.32s\" are not converted", type);
    if (has_type(at(k->json, "pre_tokenizer"), "ByteLevel"))
        return put_byte_level(k, e);
    if (json_is_true(at(k->model, "byte_fallback")))
        return put_sentencepiece(k, e);
    return err_set(e, ERR_UNSUPPORTED,
                   "tokenizer.json: BPE of characters, not of bytes, has no form in GGUF");
}

/* ---- special tokens, templates ---- */

/* The id of the token that tokenizer_config.json names, or -1. */
static int64_t find_special(const struct work *k, const char *name)
{
    const json_t *v = at(k->config, name);
    const char *text = json_is_object(v) ? json_string_value(at(v, "content"))
                                         : json_string_value(v);
    for (size_t i = 0; text && i < k->n; i++)
        if (strcmp(k->tokens[i], text) == 0)
            return (int64_t)i;
    return -1;
}

static void put_specials(struct work *k, const struct tokenizer *t, const struct tokens *ids)
{
    const json_t *unknown = at(at(k->model, "vocab"), text_at(k->model, "unk_token"));
    bool framed = ids->n == 3; /* a token before the text, one behind it */
    const struct {
        const char *name, *key;
        int64_t otherwise;
    } rows[] = {
        {"bos_token", KEY("bos_token_id"), tokenizer_bos(t)},
        {"eos_token", KEY("eos_token_id"), tokenizer_eos(t)},
        {"unk_token", KEY("unknown_token_id"),
         json_is_integer(unknown) ? json_integer_value(unknown) : -1},
        {"pad_token", KEY("padding_token_id"), -1},
        {"cls_token", KEY("cls_token_id"), framed ? ids->ids[0] : -1},
        {"sep_token", KEY("seperator_token_id"), framed ? ids->ids[2] : -1}, /* so spelled */
        {"mask_token", KEY("mask_token_id"), -1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t id = find_special(k, rows[i].name);
        id = id < 0 ? rows[i].otherwise : id;
        if (id >= 0)
            gguf_put_u32(k->w, rows[i].key, (uint32_t)id);
    }
}

/* Whether a text begins and ends with special tokens is the post-processor's: asked by doing it. */
static int put_ends(struct work *k, struct err *e)
{
    struct tokenizer *t;
    struct tokens ids = {0};
    int rc = tokenizer_from_json(&t, k->files->json, k->files->config, e);
    if (rc)
        return rc;
    rc = tokenizer_encode(t, (struct span){"a", 1}, TOKENIZE_ENDS, &ids, e);
    if (!rc)
        put_specials(k, t, &ids);
    if (!rc && strcmp(text_at(k->model, "type"), "WordPiece") != 0) {
        int32_t eos = tokenizer_eos(t);
        put_bool(k, KEY("add_bos_token"), tokenizer_adds_bos(t));
        put_bool(k, KEY("add_eos_token"), eos >= 0 && ids.n > 1 && ids.ids[ids.n - 1] == eos);
    }
    tokens_release(&ids);
    tokenizer_free(t);
    return rc;
}

/* A list has the one to be used under the name "default". */
static void put_template(struct work *k)
{
    json_t *own = at(k->config, "chat_template"), *v;
    const char *text = json_string_value(own);
    size_t i;
    json_array_foreach(own, i, v)
    {
        if (strcmp(text_at(v, "name"), "default") == 0)
            text = json_string_value(at(v, "template"));
    }
    char *file = k->files->template.n ? mem_strndup(k->files->template.p, k->files->template.n)
                                      : NULL;
    if (file || text)
        gguf_put_str(k->w, "tokenizer.chat_template", file ? file : text);
    free(file);
}

static int put_all(struct work *k, struct err *e)
{
    int rc = read_tokens(k, e);
    rc = rc ? rc : put_model(k, e);
    if (rc)
        return rc;
    const char *unknown = text_at(k->config, "unk_token");
    for (size_t i = 0; i < k->n; i++)
        if (k->kinds[i] == CONTROL && *unknown && strcmp(k->tokens[i], unknown) == 0 &&
            strcmp(text_at(k->model, "type"), "WordPiece") != 0)
            k->kinds[i] = UNKNOWN;
    gguf_put_strs(k->w, KEY("tokens"), k->tokens, k->n);
    put_array(k, KEY("token_type"), GGUF_I32, k->kinds);
    put_template(k);
    return put_ends(k, e);
}

int tokenizer_put(const struct tokenizer_files *f, struct gguf_writer *w, struct err *e)
{
    struct work k = {.files = f, .w = w};
    json_error_t where;
    k.json = json_loadb(f->json.p, f->json.n, 0, &where);
    if (k.json && f->config.n)
        k.config = json_loadb(f->config.p, f->config.n, 0, &where);
    k.model = at(k.json, "model");
    int rc = !k.json || (f->config.n && !k.config)
                 ? err_set(e, ERR_FORMAT, "%s: %s (line %d)",
                           k.json ? "tokenizer_config.json" : "tokenizer.json", where.text,
                           where.line)
                 : put_all(&k, e);
    json_decref(k.json);
    json_decref(k.config);
    arena_release(&k.arena);
    free(k.tokens);
    free(k.kinds);
    return rc;
}
