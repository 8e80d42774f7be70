/* pickle_test.c - the instructions, and what a hostile pickle may try with them. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/pickle.h"

#include <stdlib.h>
#include <string.h>

static const char *const globals[] = {"a.b", "lib.", NULL};

static void fails(const char *data, size_t n, int code, const char *part)
{
    struct pickle p;
    struct err e = {0};
    pickle_parse(&p, data, n, globals, &e);
    assert_err(e, code, part);
    assert_null(p.root);
}

static void values_are_read(void **state)
{
    static const char text[] =
        "\x80\2}q\0(X\3\0\0\0intJ\xfe\xff\xff\xffX\4\0\0\0listq\1]q\2(K\1M\0\1e"
        "X\3\0\0\0big\x8a\2\xff\x7fU\3objca\nb\n)Rq\3}X\1\0\0\0kNsbX\1\0\0\0r"
        "h\2X\1\0\0\0t\x88K\7\x86u.rest";
    struct pickle p;
    struct err e = {0};
    (void)state;
    assert_ok(pickle_parse(&p, text, sizeof(text) - 1, globals, &e), e);
    assert_int_equal(p.used, sizeof(text) - 1 - 4);
    assert_int_equal(pickle_get(p.root, "int")->number, -2);
    const struct pickle_value *list = pickle_get(p.root, "list");
    assert_int_equal(list->n, 2);
    assert_int_equal(list->items[1]->number, 256);
    assert_int_equal(pickle_get(p.root, "big")->number, 0x7fff);
    const struct pickle_value *object = pickle_get(p.root, "obj");
    assert_int_equal(object->kind, PICKLE_OBJECT);
    assert_string_equal(object->callee->text, "a.b");
    assert_int_equal(pickle_get(object->state, "k")->kind, PICKLE_NONE);
    assert_ptr_equal(pickle_get(p.root, "r"), list);
    assert_int_equal(pickle_get(p.root, "t")->items[0]->kind, PICKLE_BOOL);
    assert_null(pickle_get(p.root, "none"));
    pickle_release(&p);
}

#define TEXT(s) s, sizeof(s) - 1

static void hostile_pickles_fail(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        int code;
        const char *part;
    } rows[] = {
        {TEXT(""), ERR_FORMAT, "ends too early"},
        {TEXT("."), ERR_FORMAT, "stack is empty"},
        {TEXT("N"), ERR_FORMAT, "ends too early"},
        {TEXT("(."), ERR_FORMAT, "stack is empty"},
        {TEXT("cos\nsystem\n."), ERR_UNSUPPORTED, "asks for os.system"},
        {TEXT("\x8c\2os\x8c\6system\x93."), ERR_UNSUPPORTED, "asks for os.system"},
        {TEXT("ca\nbc\n."), ERR_UNSUPPORTED, "asks for a.bc"},
        {TEXT("ca\n"), ERR_FORMAT, "a name does not end"},
        {TEXT("NN\x93."), ERR_FORMAT, "a name is no text"},
        {TEXT("N)R."), ERR_FORMAT, "a call of something that is no function"},
        {TEXT("ca\nb\nNR."), ERR_FORMAT, "a call of something that is no function"},
        {TEXT("]Nb."), ERR_FORMAT, "a state for something that has none"},
        {TEXT("N(Ne."), ERR_FORMAT, "items for something that holds none"},
        {TEXT("](NNu."), ERR_FORMAT, "items for something that holds none"},
        {TEXT("}(Nu."), ERR_FORMAT, "a key without a value"},
        {TEXT("}NNa."), ERR_FORMAT, "an item for something that holds none"},
        {TEXT("Nt."), ERR_FORMAT, "a mark is missing"},
        {TEXT("(\x85."), ERR_FORMAT, "stack is empty"},
        {TEXT("\x87."), ERR_FORMAT, "stack is empty"},
        {TEXT("h\0."), ERR_FORMAT, "a reference is out of range"},
        {TEXT("Nr\xff\xff\xff\xff."), ERR_FORMAT, "a reference is out of range"},
        {TEXT("X\xff\xff\xff\xff."), ERR_FORMAT, "ends too early"},
        {TEXT("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), ERR_FORMAT, "ends too early"},
        {TEXT("\x8b\xff\xff\xff\xff."), ERR_FORMAT, "ends too early"},
        {TEXT("i__main__\nx\n."), ERR_FORMAT, "an instruction that no checkpoint needs"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        fails(rows[i].text, rows[i].n, rows[i].code, rows[i].part);
}

/* Values, references and texts without end are refused before the memory is gone. */
static void floods_are_refused(void **state)
{
    size_t n = (size_t)24 << 20;
    char *text = mem_alloc(n);
    (void)state;
    memset(text, ']', n);
    fails(text, n, ERR_FORMAT, "more values than any model");
    for (size_t i = 0; i + 3 <= n; i += 3)
        memcpy(text + i, i ? "h\0a" : "]q\0", 3); /* a list in itself, again and again */
    fails(text, n, ERR_FORMAT, "ends too early");
    for (size_t i = 3; i + 2 <= n; i += 2)
        memcpy(text + i, "h\0", 2);
    fails(text, n, ERR_FORMAT, "deeper than any model");
    memset(text, 'x', n);
    memcpy(text, "X\1\0\0\1", 5);
    fails(text, n, ERR_FORMAT, "texts are longer");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(hostile_pickles_fail),
        cmocka_unit_test(floods_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
