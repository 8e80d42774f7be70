/* tokenizer_file.c - the tokenizer of a model, whatever file or folder it comes in (tokenizer.h).
 *
 * Folders without a tokenizer.json hold what the slow tokenizers of transformers read: vocab.json
 * and merges.txt, or vocab.txt. A tokenizer.json is put together from these, with the rest as
 * transformers' converters (convert_slow_tokenizer.py) have it for the class that
 * tokenizer_config.json names.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "format/json.h"
#include "text/tokenizer_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE   ((size_t)128 << 20)
#define MAX_CONFIG ((size_t)16 << 20)

static const char byte_level_parts[] =
    "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
    " \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\"}}";

static const char qwen_parts[] =
    "{\"normalizer\": {\"type\": \"NFC\"}, \"decoder\": {\"type\": \"ByteLevel\"},"
    " \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\","
    " \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}}, {\"type\": \"ByteLevel\","
    " \"add_prefix_space\": false, \"use_regex\": false}]}, \"model\": {\"type\": \"BPE\"}}";

static const char bert_parts[] =
    "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\":"
    " {\"type\": \"BertPreTokenizer\"}, \"decoder\": {\"type\": \"WordPiece\"},"
    " \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\","
    " \"continuing_subword_prefix\": \"##\"}}";

/* The file of a folder as JSON; absent leaves the document empty. */
static int read_json(struct json_doc *d, const char *dir, const char *name, size_t max,
                     struct err *e)
{
    char *path = file_join(dir, name);
    int rc = file_exists(path) ? json_doc_read(d, path, max, e) : 0;
    free(path);
    return rc;
}

static int read_text(const char *dir, const char *name, char **text, size_t *n, struct err *e)
{
    char *path = file_join(dir, name);
    *text = NULL;
    int rc = file_exists(path) ? file_read(path, MAX_FILE, text, n, e) : 0;
    free(path);
    return rc;
}

/* "eos_token_id": one or several. */
static void mark_ends(struct tokenizer *t, const json_t *ids)
{
    size_t n = json_is_array(ids) ? json_array_size(ids) : json_is_integer(ids);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(ids) ? json_array_get(ids, i) : ids;
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id >= 0 && (size_t)id < t->vocab.n)
            t->end[id] = 1;
    }
}

/* generation_config.json and config.json know more ends than tokenizer_config.json. */
static int read_ends(struct tokenizer *t, const char *dir, struct err *e)
{
    static const char *const names[] = {"generation_config.json", "config.json"};
    int rc = 0;
    for (size_t i = 0; i < 2 && !rc; i++) {
        struct json_doc d = {0};
        rc = read_json(&d, dir, names[i], MAX_CONFIG, e);
        if (!rc)
            mark_ends(t, json_object_get(d.root, "eos_token_id"));
        json_doc_release(&d);
    }
    return rc;
}

/* The lines of merges.txt as an array, without comments. */
static json_t *merge_lines(const char *text)
{
    json_t *list = json_array();
    for (size_t n; *text; text += n + (text[n] != '\0')) {
        n = strcspn(text, "\n");
        size_t len = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
        if (len > 0 && strncmp(text, "#version", 8) != 0)
            json_array_append_new(list, json_stringn(text, len));
    }
    return list;
}

/* The lines of vocab.txt as {"token": number of the line}. */
static json_t *vocab_lines(const char *text)
{
    json_t *vocab = json_object();
    json_int_t id = 0;
    for (size_t n; *text; text += n + (text[n] != '\0')) {
        n = strcspn(text, "\n");
        size_t len = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
        char *token = mem_strndup(text, len);
        json_object_set_new(vocab, token, json_integer(id++));
        free(token);
    }
    return vocab;
}

/* "added_tokens_decoder": {"151643": {"content": ...}} as a tokenizer.json's added_tokens. */
static json_t *added_tokens(const json_t *config)
{
    json_t *list = json_array(), *by_id = json_object_get(config, "added_tokens_decoder"), *v;
    const char *id;
    json_object_foreach(by_id, id, v)
    {
        json_t *token = json_is_object(v) ? json_copy(v) : json_object();
        json_object_set_new(token, "id", json_integer(strtoll(id, NULL, 10)));
        json_array_append_new(list, token);
    }
    return list;
}

/* BERT's special tokens, which vocab.txt holds without saying so, and what begins and ends. */
static void add_bert(json_t *root, const json_t *vocab, const json_t *config)
{
    static const char *const names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    json_t *added = json_array();
    for (size_t i = 0; i < 5; i++)
        if (json_object_get(vocab, names[i]))
            json_array_append_new(added, json_pack("{ss sO sb}", "content", names[i], "id",
                                                   json_object_get(vocab, names[i]), "special", 1));
    json_object_set_new(root, "added_tokens", added);
    json_object_set_new(json_object_get(root, "normalizer"), "lowercase",
                        json_boolean(json_flag(config, "do_lower_case", true)));
    if (json_object_get(vocab, "[CLS]") && json_object_get(vocab, "[SEP]"))
        json_object_set_new(root, "post_processor",
                            json_pack("{ss s[sO] s[sO]}", "type", "BertProcessing", "cls", "[CLS]",
                                      json_object_get(vocab, "[CLS]"), "sep", "[SEP]",
                                      json_object_get(vocab, "[SEP]")));
}

/* Puts a tokenizer.json together. */
static int from_slow_files(struct tokenizer **t, const char *dir, const json_t *config,
                           struct err *e)
{
    struct json_doc vocab = {0};
    char *merges = NULL, *words = NULL;
    size_t n;
    json_t *root = NULL;
    struct span class = json_text(config, "tokenizer_class");
    int rc = read_json(&vocab, dir, "vocab.json", MAX_FILE, e);
    if (!rc)
        rc = read_text(dir, "merges.txt", &merges, &n, e);
    if (!rc)
        rc = read_text(dir, "vocab.txt", &words, &n, e);
    if (!rc && vocab.root && merges) {
        bool qwen = memmem(class.p, class.n, "Qwen", 4) != NULL;
        root = json_loads(qwen ? qwen_parts : byte_level_parts, 0, NULL);
        json_t *model = json_object_get(root, "model");
        json_object_set(model, "vocab", vocab.root);
        json_object_set_new(model, "merges", merge_lines(merges));
        json_object_set_new(root, "added_tokens", added_tokens(config));
    } else if (!rc && words) {
        root = json_loads(bert_parts, 0, NULL);
        json_t *lines = vocab_lines(words);
        json_object_set_new(json_object_get(root, "model"), "vocab", lines);
        add_bert(root, lines, config);
    }
    if (root)
        rc = tokenizer_from_root(t, root, config, e);
    json_decref(root);
    free(merges);
    free(words);
    json_doc_release(&vocab);
    return rc;
}

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* A file that is no GGUF. `config` is a tokenizer_config.json or NULL. */
static int from_file(struct tokenizer **t, const char *path, const json_t *config, struct err *e)
{
    struct file_map file = {0};
    struct json_doc d = {0};
    int rc = file_map_open(&file, path, e);
    if (rc)
        return rc;
    struct span bytes = {(const char *)file.data, file.size};
    if (bytes.n > MAX_FILE)
        rc = err_set(e, ERR_FORMAT, "%zu bytes are too many for a tokenizer", bytes.n);
    else if (ends_with(path, ".tiktoken"))
        rc = tokenizer_from_tiktoken(t, bytes, "gpt-4o", e);
    else if (bytes.n > 0 && bytes.p[0] != '{' && !ends_with(path, ".json"))
        rc = tokenizer_from_sentencepiece(t, bytes, e);
    else if (!(rc = json_doc_parse(&d, "tokenizer.json", bytes.p, bytes.n, e)))
        rc = tokenizer_from_root(t, d.root, config, e);
    json_doc_release(&d);
    file_map_close(&file);
    return rc;
}

static int from_gguf(struct tokenizer **t, const struct file_map *file, struct err *e)
{
    struct gguf g = {0};
    int rc = gguf_parse(&g, file->data, file->size, e);
    if (!rc)
        rc = tokenizer_from_gguf(t, &g, e);
    gguf_release(&g);
    return rc;
}

/* The file of this name in the folder, if it is there. */
static int from_member(struct tokenizer **t, const char *dir, const char *name,
                       const json_t *config, struct err *e)
{
    char *path = file_join(dir, name);
    int rc = !*t && file_exists(path) ? from_file(t, path, config, e) : 0;
    free(path);
    return rc;
}

static int from_folder(struct tokenizer **t, const char *dir, struct err *e)
{
    struct json_doc config = {0};
    int rc = read_json(&config, dir, "tokenizer_config.json", MAX_CONFIG, e);
    if (!rc)
        rc = from_member(t, dir, "tokenizer.json", config.root, e);
    if (!rc && !*t)
        rc = from_slow_files(t, dir, config.root, e);
    if (!rc)
        rc = from_member(t, dir, "tokenizer.model", config.root, e);
    json_doc_release(&config);
    if (!rc && !*t)
        rc = err_set(e, ERR_NOT_FOUND,
                     "no tokenizer.json, vocab.json with merges.txt, vocab.txt "
                     "or tokenizer.model there");
    return rc ? rc : read_ends(*t, dir, e);
}

int tokenizer_open(struct tokenizer **t, const char *path, struct err *e)
{
    struct file_map file = {0};
    struct err local = {0};
    int rc;
    *t = NULL;
    e = e ? e : &local;
    if (file_is_dir(path)) {
        rc = from_folder(t, path, e);
    } else {
        rc = file_map_open(&file, path, e);
        if (rc)
            return rc;
        rc = gguf_probe(file.data, file.size) ? from_gguf(t, &file, e)
                                              : from_file(t, path, NULL, e);
        file_map_close(&file);
    }
    if (rc) {
        tokenizer_free(*t);
        *t = NULL;
        err_prefix(e, "%s", path);
    }
    return rc;
}
