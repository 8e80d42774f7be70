/* tiny_embedder.c - see tiny_embedder.h. */
#include "support/tiny_embedder.h"

#include "base/err.h"
#include "base/file.h"
#include "support/hash_checkpoint.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void tiny_embedder_file(const char *folder, const char *name, const char *text)
{
    char *path = file_join(folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static const char tokenizer_json[] =
    "{\"added_tokens\": [], \"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true},"
    "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
    "\"post_processor\": {\"type\": \"TemplateProcessing\","
    "\"single\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}},"
    "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},"
    "{\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}],"
    "\"pair\": [], \"special_tokens\": {"
    "\"[CLS]\": {\"id\": \"[CLS]\", \"ids\": [2], \"tokens\": [\"[CLS]\"]},"
    "\"[SEP]\": {\"id\": \"[SEP]\", \"ids\": [3], \"tokens\": [\"[SEP]\"]}}},"
    "\"decoder\": {\"type\": \"WordPiece\"},"
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\","
    "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, \"vocab\": {"
    "\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"a\": 4, \"b\": 5, \"c\": 6,"
    "\"red\": 7, \"boat\": 8, \"##s\": 9, \"calm\": 10, \"sea\": 11}}}";

char *tiny_embedder_write(const char *pooling)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    struct err e = {0};
    char *dir = test_temp_dir(), *manifest = test_data("manifests/encoder-bert.txt");
    char *folder = file_join(dir, "language"), *inner = file_join(folder, "1_Pooling");
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    tiny_embedder_file(folder, "tokenizer.json", tokenizer_json);
    mkdir(inner, 0777);
    if (pooling)
        tiny_embedder_file(inner, "config.json", pooling);
    free(inner);
    free(manifest);
    free(dir);
    return folder;
}
