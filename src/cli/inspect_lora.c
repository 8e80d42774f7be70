/* inspect_lora.c - see inspect_lora.h. */
#include "cli/inspect_lora.h"

#include "base/err.h"
#include "format/lora_file.h"
#include "models/lora.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WORDS  12
#define MOST_VALUES 64

static const char *kind_of(const struct lora_module *m)
{
    const struct file_tensor *const *p = m->part;
    if (p[LORA_HADA_W1_A] || p[LORA_HADA_W2_A])
        return "LoHa";
    if (p[LORA_KRON_W1] || p[LORA_KRON_W1_A] || p[LORA_KRON_W2] || p[LORA_KRON_W2_A])
        return "LoKr";
    if (p[LORA_DIFF] || p[LORA_DIFF_B])
        return "full";
    if (p[LORA_MAGNITUDE])
        return "DoRA";
    return p[LORA_DOWN] && p[LORA_DOWN]->n_dim == 4 && p[LORA_DOWN]->dim[2] > 1 ? "LoCon" : "LoRA";
}

static int64_t rank_of(const struct lora_module *m)
{
    static const enum lora_part parts[] = {LORA_DOWN, LORA_HADA_W1_B, LORA_KRON_W1_B,
                                           LORA_KRON_W2_B};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (m->part[parts[i]] && m->part[parts[i]]->n_dim)
            return m->part[parts[i]]->dim[0];
    return 0;
}

/* Appends v to a list of distinct values; takes the reference. */
static void add_distinct(json_t *list, json_t *v)
{
    size_t i;
    const json_t *have;
    json_array_foreach(list, i, have)
    {
        if (json_equal(have, v)) {
            json_decref(v);
            return;
        }
    }
    if (json_array_size(list) < MOST_VALUES)
        json_array_append_new(list, v);
    else
        json_decref(v);
}

static void count(json_t *counts, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(counts, key));
    json_object_set_new(counts, key, json_integer(n + 1));
}

static void describe_modules(json_t *o, const struct lora_file *f)
{
    json_t *modules = json_object(), *kinds = json_object();
    json_t *ranks = json_array(), *alphas = json_array();
    for (size_t i = 0; i < f->n_modules; i++) {
        const struct lora_module *m = &f->modules[i];
        int64_t rank = rank_of(m);
        double alpha = lora_file_alpha(f, m, rank);
        count(modules, strncmp(m->name, "text_encoder_2", 14) == 0 ? "text_encoder_2"
                       : strncmp(m->name, "text_encoder", 12) == 0 ? "text_encoder"
                                                                   : "unet");
        count(kinds, kind_of(m));
        if (rank)
            add_distinct(ranks, json_integer(rank));
        if (rank && (!m->part[LORA_ALPHA] || lora_file_scalar(m->part[LORA_ALPHA], &alpha)))
            add_distinct(alphas, json_real(alpha));
    }
    json_object_set_new(o, "modules", modules);
    json_object_set_new(o, "kinds", kinds);
    json_object_set_new(o, "rank", ranks);
    json_object_set_new(o, "alpha", alphas);
}

/* The tags of kohya's metadata, {"10_folder": {"tag": 7, ...}}, most frequent first. */
static json_t *trained_words(const char *text)
{
    json_t *root = json_loads(text, 0, NULL), *all = json_object(), *words = json_array();
    const char *key;
    json_t *folder, *n;
    json_object_foreach(root, key, folder) json_object_update(all, folder);
    while (json_array_size(words) < MOST_WORDS && json_object_size(all)) {
        const char *best = NULL;
        json_int_t most = -1;
        json_object_foreach(all, key, n)
        {
            if (json_integer_value(n) > most) {
                most = json_integer_value(n);
                best = key;
            }
        }
        if (!best)
            break;
        json_array_append_new(words, json_string(best));
        json_object_del(all, best);
    }
    json_decref(all);
    json_decref(root);
    return words;
}

static void describe_training(json_t *o, const struct lora_file *f)
{
    static const struct {
        const char *key, *name;
    } rows[] = {{"ss_output_name", "name"},
                {"modelspec.title", "title"},
                {"ss_sd_model_name", "base"},
                {"ss_base_model_version", "base_version"},
                {"modelspec.trigger_phrase", "trigger"}};
    const char *tags = lora_file_meta(f, "ss_tag_frequency");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *value = lora_file_meta(f, rows[i].key);
        if (value && *value)
            json_object_set_new(o, rows[i].name, json_string(value));
    }
    json_t *words = tags ? trained_words(tags) : NULL;
    if (json_array_size(words))
        json_object_set(o, "words", words);
    json_decref(words);
}

json_t *inspect_lora(const char *path, bool hash)
{
    struct lora_file f;
    struct err none = {0};
    char id[LORA_FILE_HASH];
    if (lora_file_open(&f, path, &none))
        return NULL;
    json_t *o = json_object(), *others = json_array();
    const char *family = lora_family(&f);
    json_object_set_new(o, "for", json_string(family ? family : "unknown"));
    describe_modules(o, &f);
    describe_training(o, &f);
    for (size_t i = 0; i < f.n_others && i < MOST_WORDS; i++)
        json_array_append_new(others, json_string(f.others[i]));
    if (f.n_others)
        json_object_set(o, "other_tensors", others);
    if (hash && lora_file_hash(&f, id, &none) == 0)
        json_object_set_new(o, "hash", json_string(id));
    json_decref(others);
    lora_file_close(&f);
    return o;
}
