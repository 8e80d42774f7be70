/* download_test.c - a blob through everything that goes wrong on the way. */
#include "engine/download.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/http.h"
#include "engine/manifest.h"
#include "support/test.h"
#include "support/web.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE ((size_t)1000003)

static unsigned char blob[SIZE];
static char digest[DIGEST_TEXT];
static const struct web_page pages[] = {{.path = "/blob", .data = blob, .n = SIZE},
                                        {.path = "/there", .location = "/blob"},
                                        {.path = "/round", .location = "/round"},
                                        {.path = "/out", .location = "ftp://127.0.0.1:%d/blob"}};

static int setup(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (size_t i = 0; i < SIZE; i++)
        blob[i] = (unsigned char)((x = x * 1664525U + 1013904223U) >> 24);
    digest_of(digest, blob, SIZE);
    return 0;
}

static struct web_options serve(void)
{
    return (struct web_options){.pages = pages, .n_pages = 4, .wrong = -1};
}

/* A download into a fresh folder, to be changed. */
struct fetch {
    struct web *web;
    char *url, *dir, *path;
    struct download d;
};

static struct fetch prepare(const struct web_options *o, const char *page)
{
    struct fetch f = {.web = web_start(o), .dir = test_temp_dir()};
    f.url = web_url(f.web, page);
    f.path = file_join(f.dir, "blob");
    f.d = (struct download){.url = f.url,
                            .plain = true,
                            .digest = digest,
                            .size = SIZE,
                            .path = f.path,
                            .part_size = 100000,
                            .patience = -1};
    return f;
}

static void finish(struct fetch *f)
{
    web_stop(f->web);
    free(f->url);
    free(f->path);
    free(f->dir);
}

/* The blob is there and nothing else is. */
static void assert_whole(const struct fetch *f)
{
    char *data, *partial = mem_printf("%s-partial", f->path);
    char *state = mem_printf("%s-partial-state", f->path);
    size_t n;
    struct err e = {0};
    assert_ok(file_read(f->path, SIZE, &data, &n, &e), e);
    assert_int_equal(n, SIZE);
    assert_memory_equal(data, blob, SIZE);
    assert_false(file_exists(partial));
    assert_false(file_exists(state));
    free(data);
    free(partial);
    free(state);
}

static void assert_nothing(const struct fetch *f)
{
    assert_false(file_exists(f->path));
}

static void in_ranges(void **state)
{
    (void)state;
    struct web_options o = serve();
    o.delay_ms = 5;
    struct fetch f = prepare(&o, "/there");
    struct err e = {0};
    assert_ok(download_blob(&f.d, &e), e);
    assert_whole(&f);
    struct web_seen seen = web_seen(f.web);
    assert_int_equal(seen.ranged, 2 * 11); /* a redirect each */
    assert_int_equal(seen.bytes, SIZE);
    assert_true(seen.together > 1);
    assert_ok(download_blob(&f.d, &e), e); /* it is there */
    assert_int_equal(web_seen(f.web).requests, seen.requests);
    finish(&f);
}

static void without_ranges(void **state)
{
    (void)state;
    struct web_options o = serve();
    o.no_ranges = true;
    struct fetch f = prepare(&o, "/blob");
    struct err e = {0};
    assert_ok(download_blob(&f.d, &e), e);
    assert_whole(&f);
    finish(&f);
}

/* Connections cut again and again, and a server that is busy at first: what brings something is no
 * failure, and nothing is sent twice. */
static void cut_and_busy(void **state)
{
    (void)state;
    struct web_options o = serve();
    o.cut = 30000;
    o.busy = 5;
    struct fetch f = prepare(&o, "/blob");
    struct err e = {0};
    assert_ok(download_blob(&f.d, &e), e);
    assert_whole(&f);
    assert_int_equal(web_seen(f.web).bytes, SIZE);
    finish(&f);
}

static void wrong_bytes(void **state)
{
    (void)state;
    struct web_options o = serve();
    o.wrong = 777777;
    struct fetch f = prepare(&o, "/blob");
    struct err e = {0};
    char *partial = mem_printf("%s-partial", f.path);
    assert_int_equal(download_blob(&f.d, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "they are deleted, try again");
    assert_nothing(&f);
    assert_false(file_exists(partial));
    free(partial);
    finish(&f);
}

static void count(int64_t done, int64_t size, void *ctx)
{
    assert_true(done >= 0 && done <= size);
    if (done > size / 3)
        atomic_store((atomic_bool *)ctx, true);
}

/* Stopped in the middle; the next one brings the rest only. */
static void resumed(void **state)
{
    (void)state;
    struct web_options o = serve();
    o.delay_ms = 20;
    struct fetch f = prepare(&o, "/blob");
    atomic_bool stop = false;
    struct err e = {0};
    f.d.cancel = &stop;
    f.d.progress = count;
    f.d.ctx = &stop;
    assert_int_equal(download_blob(&f.d, &e), ERR_CANCELLED);
    assert_nothing(&f);
    web_stop(f.web);
    o.delay_ms = 0;
    f.web = web_start(&o);
    free(f.url);
    f.d.url = f.url = web_url(f.web, "/blob");
    atomic_store(&stop, false);
    f.d.progress = NULL;
    e = (struct err){0};
    assert_ok(download_blob(&f.d, &e), e);
    assert_whole(&f);
    assert_true(web_seen(f.web).bytes < (int64_t)(SIZE - SIZE / 3 + 1));
    finish(&f);
}

static void *fetch_in_thread(void *ctx)
{
    struct err e = {0};
    assert_ok(download_blob(ctx, &e), e);
    return NULL;
}

/* Two that want the same blob share one download. */
static void shared(void **state)
{
    (void)state;
    struct web_options o = serve();
    o.delay_ms = 5;
    struct fetch f = prepare(&o, "/blob");
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, fetch_in_thread, &f.d), 0);
    fetch_in_thread(&f.d);
    pthread_join(other, NULL);
    assert_whole(&f);
    assert_int_equal(web_seen(f.web).bytes, SIZE);
    finish(&f);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *page;
        int code;
        const char *text;
    } rows[] = {
        {"/none", ERR_NOT_FOUND, "/none: the server answers 404"},
        {"/round", ERR_IO, "more than 10 redirects"},
        {"/out", ERR_IO, "only https is spoken"},
    };
    struct web_options o = serve();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct fetch f = prepare(&o, rows[i].page);
        struct err e = {0};
        assert_int_equal(download_blob(&f.d, &e), rows[i].code);
        assert_err(e, rows[i].code, rows[i].text);
        assert_nothing(&f);
        finish(&f);
    }
    struct fetch f = prepare(&o, "/blob");
    struct err e = {0};
    f.d.plain = false;
    assert_int_equal(download_blob(&f.d, &e), ERR_IO);
    assert_err(e, ERR_IO, "allow http with --insecure");
    e = (struct err){0};
    f.d.plain = true;
    f.d.size = (int64_t)1 << 60;
    assert_int_equal(download_blob(&f.d, &e), ERR_IO);
    assert_err(e, ERR_IO, "GB are free there; make room");
    f.d.path = "/nowhere/at/all";
    f.d.size = 5;
    e = (struct err){0};
    assert_int_equal(download_blob(&f.d, &e), ERR_IO);
    assert_err(e, ERR_IO, "/nowhere/at/all-partial: cannot make it");
    finish(&f);
    f = prepare(&o, "/blob"); /* a longer blob than the manifest says */
    f.d.size = 1000;
    e = (struct err){0};
    assert_int_equal(download_blob(&f.d, &e), ERR_IO);
    assert_err(e, ERR_IO, "sends more than it was asked for");
    finish(&f);
}

static void addresses(void **state)
{
    (void)state;
    static const char *const private[] = {
        "127.0.0.1",       "10.0.0.1",   "192.168.1.1", "172.31.255.255", "169.254.169.254",
        "0.0.0.0",         "::1",        "::",          "fe80::1",        "fd00::1",
        "::ffff:10.0.0.1", "100.64.0.1", "224.0.0.1",   "ff02::1",        "nonsense"};
    static const char *const public[] = {"8.8.8.8", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8"};
    for (size_t i = 0; i < sizeof(private) / sizeof(*private); i++)
        assert_true(http_is_private_address(private[i]));
    for (size_t i = 0; i < sizeof(public) / sizeof(*public); i++)
        assert_false(http_is_private_address(public[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_ranges),    cmocka_unit_test(without_ranges),
        cmocka_unit_test(cut_and_busy), cmocka_unit_test(wrong_bytes),
        cmocka_unit_test(resumed),      cmocka_unit_test(shared),
        cmocka_unit_test(refused),      cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
