/* pictures.c - see pictures.h. */
#include "support/pictures.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "pipeline/recipe.h"
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

struct picture test_picture(const char *name, struct picture_text *text)
{
    char *below = mem_printf("pictures/%s", name), *path = test_data(below);
    struct picture p;
    struct err e = {0};
    assert_ok(picture_read(path, &p, text, &e), e);
    free(path);
    free(below);
    return p;
}

int test_picture_difference(const struct picture *a, const struct picture *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    int worst = 0;
    for (int i = 0; i < a->width * a->height * a->channels; i++) {
        int d = abs(a->data[i] - b->data[i]);
        worst = d > worst ? d : worst;
    }
    return worst;
}

void test_picture_refused(const char *path, int code)
{
    struct picture p;
    struct picture_text text;
    struct err e = {0};
    const char *slash = strrchr(path, '/');
    int rc = picture_read(path, &p, &text, &e);
    if (rc != code || !strstr(e.text, slash ? slash + 1 : path))
        fail_msg("%s: wanted %s, got %s: %s", path, err_name(code), err_name(rc), e.text);
    assert_null(p.data);
    assert_int_equal(text.n, 0);
}

void test_picture_mutations(const char *name)
{
    char *below = mem_printf("pictures/%s", name), *path = test_data(below), *data;
    size_t size;
    struct err e = {0};
    struct picture p;
    struct picture_text text;
    assert_ok(file_read(path, 1 << 20, &data, &size, &e), e);
    for (size_t n = 0; n < size; n++) {
        /* In a block of its own size, so that a sanitizer sees a read beyond its end. */
        unsigned char *prefix = malloc(n ? n : 1);
        memcpy(prefix, data, n);
        e = (struct err){0};
        if (picture_decode(prefix, n, name, &p, &text, &e) != ERR_FORMAT || !strstr(e.text, name))
            fail_msg("%s cut at %zu of %zu: %s", name, n, size, e.text);
        free(prefix);
    }
    for (size_t i = 0; i < size; i++) {
        data[i] ^= 0x55;
        picture_decode(data, size, name, &p, &text, NULL);
        picture_release(&p);
        picture_text_release(&text);
        data[i] ^= 0x55;
    }
    free(data);
    free(path);
    free(below);
}

struct picture test_drawn(const char *dir, const char *name, struct recipe *recipe)
{
    struct picture p = {0};
    struct picture_text text = {0};
    struct err e = {0};
    char *path = file_join(dir, name);
    assert_ok(picture_read(path, &p, &text, &e), e);
    if (recipe)
        assert_ok(recipe_from_text(recipe, &text, path, &e), e);
    picture_text_release(&text);
    free(path);
    return p;
}

void test_drawn_same(const char *dir, const char *a, const char *b, bool same)
{
    struct picture p = test_drawn(dir, a, NULL), q = test_drawn(dir, b, NULL);
    int difference = test_picture_difference(&p, &q);
    if ((difference == 0) != same)
        fail_msg("%s and %s differ by %d", a, b, difference);
    picture_release(&p);
    picture_release(&q);
}
