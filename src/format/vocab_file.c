/* vocab_file.c - see vocab_file.h. */
#include "format/vocab_file.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "format/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE   ((size_t)64 << 20)
#define MAX_TOKENS ((size_t)1 << 20)

void vocab_file_release(struct vocab_file *v)
{
    arena_release(&v->arena);
    free(v->tokens);
    free(v->merges);
    *v = (struct vocab_file){0};
}

static void set_tokens(struct vocab_file *v, const char **tokens, size_t n)
{
    v->tokens = tokens;
    v->vocab.tokens = tokens;
    v->vocab.n_tokens = n;
}

static void set_merges(struct vocab_file *v, const char **merges, size_t n)
{
    v->merges = merges;
    v->vocab.merges = merges;
    v->vocab.n_merges = n;
}

static int find_token(const struct vocab_file *v, const char *text)
{
    for (size_t i = v->vocab.n_tokens; text && i-- > 0;) /* special tokens are the last ones */
        if (strcmp(v->tokens[i], text) == 0)
            return (int)i;
    return -1;
}

/* {"token": id}: ids are 0 .. n-1, each once. */
static int read_ids(struct vocab_file *v, const struct json_doc *d, const char *path, struct err *e)
{
    const json_t *ids = json_doc_at(d, path), *id;
    const char *token;
    size_t n = json_object_size(ids);
    if (!n || n > MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "%s: %s: not an object of 1 to %zu tokens", d->name,
                       *path ? path : "vocabulary", MAX_TOKENS);
    const char **tokens = mem_try_array(n, sizeof(*tokens), d->name, e);
    if (!tokens)
        return ERR_NOMEM;
    set_tokens(v, tokens, n);
    json_object_foreach((json_t *)(uintptr_t)ids, token, id)
    {
        json_int_t i = json_is_integer(id) ? json_integer_value(id) : -1;
        if (i < 0 || (size_t)i >= n || tokens[i])
            return err_set(e, ERR_FORMAT,
                           "%s: token \"%s\": its id is not one of 0 to %zu, each used once",
                           d->name, token, n - 1);
        tokens[i] = arena_strdup(&v->arena, token);
    }
    return 0;
}

static int check_merge(const char *name, size_t i, const char *merge, struct err *e)
{
    const char *space = strchr(merge, ' ');
    if (!space || space == merge || !space[1] || strchr(space + 1, ' '))
        return err_set(e, ERR_FORMAT, "%s: merge %zu is not two tokens: \"%s\"", name, i + 1,
                       merge);
    return 0;
}

/* merges.txt: a "#version" line, then one merge per line. */
static int read_merges(struct vocab_file *v, const char *path, struct err *e)
{
    char *text;
    size_t size, n = 0, lines = 1;
    int rc = file_read(path, MAX_FILE, &text, &size, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    const char **merges = mem_try_array(lines, sizeof(*merges), path, e);
    rc = merges ? 0 : ERR_NOMEM;
    for (char *p = text; !rc && p < text + size;) {
        size_t len = strcspn(p, "\r\n");
        if (len && !(p == text && strncmp(p, "#version", 8) == 0)) {
            merges[n] = arena_strndup(&v->arena, p, len);
            rc = check_merge(path, n, merges[n], e);
            n++;
        }
        p += len;
        p += *p == '\r';
        p += *p == '\n';
        if (p < text + size && *p == 0)
            rc = err_set(e, ERR_FORMAT, "%s: contains a NUL character", path);
    }
    set_merges(v, merges, n);
    free(text);
    return rc;
}

/* tokenizer.json: merges are "a b" or ["a", "b"]. */
static int read_json_merges(struct vocab_file *v, const struct json_doc *d, struct err *e)
{
    const json_t *list = json_doc_at(d, "model.merges");
    size_t n = json_array_size(list);
    const char **merges = mem_try_array(n, sizeof(*merges), d->name, e);
    if (!merges)
        return ERR_NOMEM;
    set_merges(v, merges, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i);
        const char *a = json_string_value(json_array_get(m, 0));
        const char *b = json_string_value(json_array_get(m, 1));
        if (json_is_string(m))
            merges[i] = arena_strdup(&v->arena, json_string_value(m));
        else
            merges[i] = arena_printf(&v->arena, "%s %s", a ? a : "", b ? b : "");
        int rc = check_merge(d->name, i, merges[i], e);
        if (rc)
            return rc;
    }
    return 0;
}

/* A special token in special_tokens_map.json or tokenizer_config.json: a string or an object. */
static const char *special(const struct json_doc *d, const char *key)
{
    const json_t *v = json_object_get(d->root, key);
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

static void set_special(struct vocab_file *v, const struct json_doc *d)
{
    struct ckpt_vocab *c = &v->vocab;
    c->bos = c->bos >= 0 ? c->bos : find_token(v, special(d, "bos_token"));
    c->eos = c->eos >= 0 ? c->eos : find_token(v, special(d, "eos_token"));
    c->pad = c->pad >= 0 ? c->pad : find_token(v, special(d, "pad_token"));
}

static int read_special(struct vocab_file *v, const char *dir, struct err *e)
{
    static const char *const files[] = {"special_tokens_map.json", "tokenizer_config.json"};
    int rc = 0;
    v->vocab.bos = v->vocab.eos = v->vocab.pad = -1;
    for (size_t i = 0; !rc && i < sizeof(files) / sizeof(files[0]); i++) {
        char *path = file_join(dir, files[i]);
        struct json_doc d = {0};
        if (file_exists(path) && !(rc = json_doc_read(&d, path, MAX_FILE, e)))
            set_special(v, &d);
        json_doc_release(&d);
        free(path);
    }
    if (v->vocab.bos < 0)
        v->vocab.bos = find_token(v, "<|startoftext|>");
    if (v->vocab.eos < 0)
        v->vocab.eos = find_token(v, "<|endoftext|>");
    return rc;
}

int vocab_file_read_folder(struct vocab_file *v, const char *dir, struct err *e)
{
    char *vocab = file_join(dir, "vocab.json"), *merges = file_join(dir, "merges.txt");
    char *whole = file_join(dir, "tokenizer.json");
    struct json_doc d = {0};
    int rc = 0;
    *v = (struct vocab_file){0};
    if (file_exists(vocab) && file_exists(merges)) {
        rc = json_doc_read(&d, vocab, MAX_FILE, e);
        rc = rc ? rc : read_ids(v, &d, "", e);
        rc = rc ? rc : read_merges(v, merges, e);
    } else if (file_exists(whole)) {
        rc = json_doc_read(&d, whole, MAX_FILE, e);
        rc = rc ? rc : read_ids(v, &d, "model.vocab", e);
        rc = rc ? rc : read_json_merges(v, &d, e);
    }
    if (!rc && v->tokens)
        rc = read_special(v, dir, e);
    if (rc)
        vocab_file_release(v);
    json_doc_release(&d);
    free(vocab);
    free(merges);
    free(whole);
    return rc;
}

static int read_gguf(struct vocab_file *v, const struct gguf *g, const char *pad_key, struct err *e)
{
    const char **list;
    size_t n;
    int rc = gguf_strings(g, "tokenizer.ggml.tokens", &v->arena, &list, &n, e);
    if (rc)
        return rc;
    set_tokens(v, list, n);
    rc = gguf_strings(g, "tokenizer.ggml.merges", &v->arena, &list, &n, e);
    if (rc)
        return rc;
    set_merges(v, list, n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = check_merge("tokenizer.ggml.merges", i, list[i], e);
    int64_t bos = -1, eos = -1, pad = -1, last = (int64_t)v->vocab.n_tokens - 1;
    rc = rc ? rc : gguf_int(g, "tokenizer.ggml.bos_token_id", 0, last, &bos, e);
    rc = rc ? rc : gguf_int(g, "tokenizer.ggml.eos_token_id", 0, last, &eos, e);
    rc = rc ? rc : gguf_int(g, "tokenizer.ggml.padding_token_id", 0, last, &pad, e);
    rc = rc || !pad_key ? rc : gguf_int(g, pad_key, 0, last, &pad, e);
    v->vocab.bos = (int)bos;
    v->vocab.eos = (int)eos;
    v->vocab.pad = (int)pad;
    if (!rc && v->vocab.n_tokens > MAX_TOKENS)
        rc = err_set(e, ERR_FORMAT, "tokenizer.ggml.tokens: more than %zu tokens", MAX_TOKENS);
    return rc;
}

int vocab_file_read_gguf(struct vocab_file *v, const struct gguf *g, const char *pad_key,
                         struct err *e)
{
    const char *model = gguf_str(g, "tokenizer.ggml.model");
    *v = (struct vocab_file){0};
    if (!model || strcmp(model, "clip") != 0)
        return 0;
    int rc = read_gguf(v, g, pad_key, e);
    if (rc)
        vocab_file_release(v);
    return rc;
}

static int read_list(struct vocab_file *v, const struct json_doc *d, const char *key,
                     const char ***out, size_t *n, struct err *e)
{
    const json_t *list = json_doc_at(d, key);
    *n = json_array_size(list);
    *out = mem_try_array(*n, sizeof(**out), d->name, e);
    if (!*out)
        return ERR_NOMEM;
    for (size_t i = 0; i < *n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return err_set(e, ERR_FORMAT, "%s: %s: entry %zu is not a string", d->name, key, i);
        (*out)[i] = arena_strdup(&v->arena, text);
    }
    return 0;
}

static int read_text(struct vocab_file *v, const struct json_doc *d, const char *pad_key,
                     struct err *e)
{
    size_t n;
    int rc = read_list(v, d, "tokens", &v->tokens, &n, e);
    set_tokens(v, v->tokens, n);
    rc = rc ? rc : read_list(v, d, "merges", &v->merges, &n, e);
    set_merges(v, v->merges, rc ? 0 : n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = check_merge(d->name, i, v->merges[i], e);
    int64_t bos = -1, eos = -1, pad = -1, last = (int64_t)v->vocab.n_tokens - 1;
    rc = rc ? rc : json_doc_int(d, "bos", 0, last, &bos, e);
    rc = rc ? rc : json_doc_int(d, "eos", 0, last, &eos, e);
    rc = rc ? rc : json_doc_int(d, pad_key, 0, last, &pad, e);
    v->vocab.bos = (int)bos;
    v->vocab.eos = (int)eos;
    v->vocab.pad = (int)pad;
    if (!rc && v->vocab.n_tokens - 1 >= MAX_TOKENS)
        rc = err_set(e, ERR_FORMAT, "%s: not 1 to %zu tokens", d->name, MAX_TOKENS);
    return rc;
}

int vocab_file_read_text(struct vocab_file *v, const char *text, const char *pad_key, struct err *e)
{
    struct json_doc d;
    *v = (struct vocab_file){0};
    int rc = json_doc_parse(&d, CLIP_VOCAB_META, text, strlen(text), e);
    if (!rc)
        rc = read_text(v, &d, pad_key, e);
    if (rc)
        vocab_file_release(v);
    json_doc_release(&d);
    return rc;
}

static json_t *text_list(const char *const *list, size_t n)
{
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_string(list[i]));
    return out;
}

static void add_id(json_t *root, const char *key, int id)
{
    if (id >= 0)
        json_object_set_new(root, key, json_integer(id));
}

char *vocab_file_write_text(const struct ckpt_vocab *first, const struct ckpt_vocab *second)
{
    json_t *root = json_object();
    json_object_set_new(root, "tokens", text_list(first->tokens, first->n_tokens));
    json_object_set_new(root, "merges", text_list(first->merges, first->n_merges));
    add_id(root, "bos", first->bos);
    add_id(root, "eos", first->eos);
    add_id(root, "pad", first->pad);
    if (second)
        add_id(root, "pad_2", second->pad);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}
