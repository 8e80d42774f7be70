/* chat_test.c - choosing a chat template and rendering conversations with it. That templates are
 * rendered as jinja2 does it is shown by jinja_test.c.
 */
#include "text/chat.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/gguf.h"
#include "support/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct chat_tokens tokens = {"<s>", "</s>"};

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *v = json_loads(text, 0, &error);
    if (!v)
        fail_msg("%s: %s", text, error.text);
    return v;
}

static struct chat_template *template_of(const char *source)
{
    struct chat_template *t;
    struct err e = {0};
    assert_ok(chat_template_new(&t, source, strlen(source), &tokens, &e), e);
    return t;
}

/* Renders messages (and tools) given as JSON text; heap. */
static char *render(const struct chat_template *t, const char *messages, const char *tools,
                    enum chat_thinking thinking)
{
    struct buf out;
    struct err e = {0};
    json_t *m = parse(messages), *f = tools ? parse(tools) : NULL;
    struct chat_request r = {
        .messages = m, .tools = f, .add_generation_prompt = true, .thinking = thinking};
    buf_init(&out, 1 << 20);
    assert_ok(chat_render(t, &r, &out, &e), e);
    json_decref(m);
    json_decref(f);
    return buf_take(&out);
}

static void expect(const struct chat_template *t, const char *messages, const char *tools,
                   const char *want)
{
    char *got = render(t, messages, tools, CHAT_THINKING_DEFAULT);
    assert_string_equal(got ? got : "", want);
    free(got);
}

#define USER       "{\"role\": \"user\", \"content\": \"Hi\"}"
#define SYSTEM     "{\"role\": \"system\", \"content\": \"Be brief.\"}"
#define LOOP(body) "{% for m in messages %}" body "{% endfor %}"

static void test_fallbacks(void **state)
{
    (void)state;
    static const struct {
        const char *architecture, *eos, *name, *want;
    } rows[] = {
        {NULL, NULL, "chatml",
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
         "<|im_start|>assistant\n"},
        {"llama", "<|eot_id|>", "llama3",
         "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>"
         "user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
        {"gemma3", NULL, "gemma",
         "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"},
        {"phi3", NULL, "phi3",
         "<s><|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"},
        {"llama", "</s>", "mistral", "<s>[INST] Be brief.\n\nHi [/INST]"},
        {"qwen2", "<|im_end|>", "chatml",
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
         "<|im_start|>assistant\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chat_template *t;
        struct chat_tokens k = {"<s>", rows[i].eos};
        struct err e = {0};
        assert_ok(chat_template_fallback(&t, rows[i].architecture, &k, &e), e);
        assert_string_equal(chat_template_is_fallback(t), rows[i].name);
        expect(t, "[" SYSTEM ", " USER "]", NULL, rows[i].want);
        chat_template_free(t);
    }
}

static void test_content_takes_the_templates_form(void **state)
{
    (void)state;
    static const char parts[] =
        "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
        "\"a\"}, {\"type\": \"image\"}, {\"type\": \"text\", \"text\": \"b\"}]}]";
    struct chat_template *t = template_of(LOOP("<{{ m.content }}>"));
    expect(t, "[" USER "]", NULL, "<Hi>");
    expect(t, parts, NULL, "<ab>");
    assert_false(chat_template_abilities(t)->images);
    chat_template_free(t);

    t = template_of(LOOP("{% for p in m.content %}<{{ p.type }} {{ p.text }}>{% endfor %}"));
    expect(t, "[" USER "]", NULL, "<text Hi>");
    expect(t, parts, NULL, "<text a><image ><text b>");
    chat_template_free(t);

    t = template_of(
        LOOP("{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content "
             "%}{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% "
             "endfor %}{% endif %}"));
    expect(t, parts, NULL, "a<image>b");
    assert_true(chat_template_abilities(t)->images);
    chat_template_free(t);
}

#define CALL(arguments)                                                                          \
    "[" USER ", {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"id\": \"c1\", " \
    "\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": " arguments "}}]}]"

static void test_arguments_take_the_templates_form(void **state)
{
    (void)state;
    struct chat_template *t = template_of(
        LOOP("{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
             "{{ c.function.arguments | tojson }}{% endfor %}"));
    expect(t, CALL("{\"x\": 0.1}"), NULL, "Hif{\"x\": 0.1}");
    expect(t, CALL("\"{\\\"x\\\": 0.1}\""), NULL, "Hif{\"x\": 0.1}");
    expect(t, CALL("\"not JSON\""), NULL, "Hif\"not JSON\"");
    chat_template_free(t);

    t = template_of(LOOP("{{ m.content }}{% for c in m.tool_calls or [] %}"
                         "{{ c.function.name + c.function.arguments }}{% endfor %}"));
    expect(t, CALL("{\"x\": 0.1}"), NULL, "Hif{\"x\": 0.1}");
    chat_template_free(t);

    /* DeepSeek R1's shows calls only where the content is none. */
    t = template_of(LOOP("{% if m.content is none %}{% for c in m.tool_calls %}"
                         "{{ c.function.arguments | tojson }}{% endfor %}{% else %}{{ m.content }}"
                         "{% endif %}"));
    expect(t, CALL("{\"x\": 1}"), NULL, "Hi{\"x\": 1}");
    chat_template_free(t);
}

static void test_tools(void **state)
{
    (void)state;
    static const char tool[] = "[{\"type\": \"function\", \"function\": {\"name\": \"look\"}}]";
    struct chat_template *t = template_of(
        "{% if tools %}T{% for f in tools %}{{ f.function.name }}{% endfor %}{% endif %}"
        "{% if tools is none %}-{% endif %}" LOOP("{{ m.content }}"));
    expect(t, "[" USER "]", NULL, "-Hi");
    expect(t, "[" USER "]", "[]", "-Hi");
    expect(t, "[" USER "]", tool, "TlookHi");
    assert_true(chat_template_abilities(t)->tools);
    chat_template_free(t);

    t = template_of(
        "{% for f in tools %}{{ f.function.name }}{% endfor %}" LOOP("{{ m.content }}"));
    expect(t, "[" USER "]", NULL, "Hi"); /* none cannot be looped over: the list is empty */
    chat_template_free(t);

    t = template_of(LOOP("{{ m.content }}"));
    assert_false(chat_template_abilities(t)->tools);
    chat_template_free(t);
}

static void test_thinking(void **state)
{
    (void)state;
    struct chat_template *t = template_of(LOOP(
        "{{ m.reasoning_content }}{{ m.thinking }}{{ m.content }}") "<think>"
                                                                    "{% if enable_thinking is "
                                                                    "defined %}{{ enable_thinking "
                                                                    "}}{% endif %}");
    static const char messages[] =
        "[{\"role\": \"assistant\", \"content\": \"a\", \"reasoning\": \"r\"}]";
    static const char *const want[] = {"rra<think>", "rra<think>True", "rra<think>False"};
    for (int i = 0; i < 3; i++) {
        char *got = render(t, messages, NULL, (enum chat_thinking)i);
        assert_string_equal(got, want[i]);
        free(got);
    }
    assert_true(chat_template_abilities(t)->thinking);
    assert_true(chat_template_abilities(t)->thinking_option);
    chat_template_free(t);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *messages;
        int code;
        const char *text;
    } rows[] = {
        {"{}", ERR_ARG, "messages must be a list"},
        {"[1]", ERR_ARG, "message 1 must be an object with a \"role\""},
        {"[{\"content\": \"x\"}]", ERR_ARG, "message 1"},
        {"[{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"bad\", \"content\": \"\"}]",
         ERR_ARG, "chat template, line 2: no such role"},
        {"[{\"role\": \"odd\", \"content\": \"\"}]", ERR_FORMAT, "line 3: 'q' is undefined"},
    };
    struct chat_template *t = template_of(LOOP(
        "{{ m.content }}\n{% if m.role == 'bad' %}{{ raise_exception('no such role') }}{% endif "
        "%}\n{% if m.role == 'odd' %}{{ q.x }}{% endif %}"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct buf out;
        json_t *m = parse(rows[i].messages);
        struct chat_request r = {.messages = m};
        buf_init(&out, 1000);
        buf_append_str(&out, "before");
        assert_int_equal(chat_render(t, &r, &out, &e), rows[i].code);
        assert_err(e, rows[i].code, rows[i].text);
        assert_string_equal(buf_str(&out), "before");
        buf_release(&out);
        json_decref(m);
    }
    chat_template_free(t);

    struct err e = {0};
    assert_int_equal(chat_template_new(&t, "{% if %}", 8, NULL, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "chat template, line 1:");
    assert_null(t);
}

/* Where models keep theirs */

static void write_file(const char *dir, const char *name, const char *text)
{
    char *path = file_join(dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static void expect_folder(const char *dir, const char *tools, const char *want,
                          const char *fallback)
{
    struct chat_template *t;
    struct err e = {0};
    assert_ok(chat_template_from_folder(&t, dir, NULL, &e), e);
    if (fallback)
        assert_string_equal(chat_template_is_fallback(t), fallback);
    else
        assert_null(chat_template_is_fallback(t));
    expect(t, "[" USER "]", tools, want);
    chat_template_free(t);
}

static void test_folders(void **state)
{
    (void)state;
    static const char tool[] = "[{\"type\": \"function\", \"function\": {\"name\": \"look\"}}]";
    char *dir = test_temp_dir();
    write_file(dir, "config.json", "{\"model_type\": \"gemma2\"}");
    expect_folder(dir, NULL, "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
                  "gemma");
    write_file(dir, "tokenizer_config.json",
               "{\"bos_token\": {\"content\": \"<b>\"}, \"eos_token\": \"<e>\", \"chat_template\": "
               "[{\"name\": \"default\", \"template\": \"{{ bos_token }}usual{{ eos_token }}\"}, "
               "{\"name\": \"tool_use\", \"template\": \"tools {{ tools[0].function.name }}\"}]}");
    expect_folder(dir, NULL, "<b>usual<e>", NULL);
    expect_folder(dir, tool, "tools look", NULL);
    write_file(dir, "chat_template.json", "{\"chat_template\": \"json\"}");
    expect_folder(dir, NULL, "json", NULL);
    write_file(dir, "chat_template.jinja", "jinja{{ eos_token }}\n");
    expect_folder(dir, NULL, "jinja<e>", NULL);
    write_file(dir, "chat_template.jinja", "{% nope %}");
    struct chat_template *t;
    struct err e = {0};
    assert_int_equal(chat_template_from_folder(&t, dir, NULL, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "line 1: unknown tag 'nope'");
    assert_non_null(strstr(e.text, dir));
    free(dir);
}

static void expect_gguf(const char *usual, const char *tools, const char *want,
                        const char *want_tools)
{
    struct gguf_writer w;
    struct gguf g;
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "x.gguf");
    struct file_writer f;
    gguf_writer_init(&w);
    gguf_put_str(&w, "general.architecture", "llama");
    if (usual)
        gguf_put_str(&w, "tokenizer.chat_template", usual);
    if (tools)
        gguf_put_str(&w, "tokenizer.chat_template.tool_use", tools);
    assert_ok(file_writer_open(&f, path, &e), e);
    assert_ok(gguf_write_header(&w, &f, &e), e);
    gguf_write_end(&w, &f);
    assert_ok(file_writer_commit(&f, &e), e);
    gguf_writer_release(&w);

    struct file_map map;
    struct chat_template *t;
    assert_ok(file_map_open(&map, path, &e), e);
    assert_ok(gguf_parse(&g, map.data, map.size, &e), e);
    assert_ok(chat_template_from_gguf(&t, &g, &tokens, &e), e);
    expect(t, "[" USER "]", NULL, want);
    expect(t, "[" USER "]", "[{\"function\": {\"name\": \"look\"}}]", want_tools);
    chat_template_free(t);
    gguf_release(&g);
    file_map_close(&map);
    free(path);
    free(dir);
}

static void test_gguf(void **state)
{
    (void)state;
    expect_gguf("{{ bos_token }}usual", NULL, "<s>usual", "<s>usual");
    expect_gguf("usual", "tools {{ tools[0].function.name }}", "usual", "tools look");
    expect_gguf(NULL, NULL, "<s>[INST] Hi [/INST]", "<s>[INST] Hi [/INST]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_content_takes_the_templates_form),
        cmocka_unit_test(test_arguments_take_the_templates_form),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
