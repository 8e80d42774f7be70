/* chat_parse_test.c - answers in the formats of every family, whole, byte by byte and cut at every
 * place: the events are always the same.
 */
#include "text/chat_parse.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "support/test.h"
#include "text/chat.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Events as text: [thinking]...[content]...[call name {..}]; neighbours of one kind are joined. */
struct record {
    struct buf out;
    int last;
};

static void on_event(void *ctx, const struct chat_event *e)
{
    static const char *const names[] = {"content", "thinking", "call", "bad"};
    struct record *r = ctx;
    bool text = e->type == CHAT_CONTENT || e->type == CHAT_THINKING;
    assert_int_equal(strlen(e->text), e->n);
    if (!text || r->last != (int)e->type)
        buf_printf(&r->out, "[%s]", names[e->type]);
    if (e->type == CHAT_CALL)
        buf_printf(&r->out, "%s %s%s%s", e->name, e->arguments, e->id ? " id=" : "",
                   e->id ? e->id : "");
    else
        buf_append(&r->out, e->text, e->n);
    r->last = (int)e->type;
}

static json_t *tools(void)
{
    json_error_t error;
    json_t *v = json_loads(
        "[{\"type\": \"function\", \"function\": {\"name\": \"look\", \"parameters\": {\"type\": "
        "\"object\", \"properties\": {\"place\": {\"type\": \"string\"}, \"days\": {\"type\": "
        "\"integer\"}, \"deep\": {\"type\": \"object\"}}}}}, {\"type\": \"function\", "
        "\"function\": {\"name\": \"now\", \"parameters\": {}}}]",
        0, &error);
    assert_non_null(v);
    return v;
}

/* Some templates want every description. */
static json_t *described_tools(void)
{
    json_t *v = json_loads(
        "[{\"type\": \"function\", \"function\": {\"name\": \"look\", \"description\": \"d\", "
        "\"parameters\": {\"type\": \"object\", \"properties\": {\"days\": {\"type\": \"integer\", "
        "\"description\": \"d\"}, \"place\": {\"type\": \"string\", \"description\": \"d\"}}, "
        "\"required\": [\"place\"]}}}]",
        0, NULL);
    assert_non_null(v);
    return v;
}

/* Pieces of at most `step` bytes, the first of `first`. */
static char *parse(const struct chat_parser_options *how, const char *text, size_t first,
                   size_t step)
{
    struct record r = {.last = -1};
    struct chat_parser_options o = *how;
    struct err e = {0};
    buf_init(&r.out, 1 << 20);
    o.event = on_event;
    o.ctx = &r;
    struct chat_parser *p = chat_parser_new(&o);
    size_t n = strlen(text), at = 0;
    while (at < n) {
        size_t k = at ? step : first;
        k = k < n - at ? k : n - at;
        char *piece = malloc(k ? k : 1); /* reads beyond the piece are seen */
        memcpy(piece, text + at, k);
        assert_ok(chat_parser_push(p, piece, k, &e), e);
        free(piece);
        at += k;
    }
    assert_ok(chat_parser_finish(p, &e), e);
    chat_parser_free(p);
    return buf_take(&r.out);
}

static void check(const struct chat_parser_options *o, const char *text, const char *want)
{
    size_t n = strlen(text);
    for (size_t first = n; first > 0; first--) {
        char *got = parse(o, text, first, first == 1 ? 1 : n);
        if (strcmp(got ? got : "", want) != 0)
            fail_msg("%s\n cut at %zu\n wanted %s\n got    %s", text, first, want, got);
        free(got);
    }
    for (size_t step = 2; step < 8; step++) {
        char *got = parse(o, text, step, step);
        assert_string_equal(got ? got : "", want);
        free(got);
    }
}

struct row {
    const char *text, *want;
};

static void check_rows(const char *template, const char *prompt, const struct row *rows, size_t n)
{
    json_t *t = tools();
    struct chat_parser_options o = {.format = chat_format_of(template),
                                    .tools = t,
                                    .prompt = prompt,
                                    .prompt_n = prompt ? strlen(prompt) : 0};
    for (size_t i = 0; i < n; i++)
        check(&o, rows[i].text, rows[i].want);
    json_decref(t);
}

#define ROWS(template, prompt, ...)                                     \
    do {                                                                \
        static const struct row rows[] = {__VA_ARGS__};                 \
        check_rows(template, prompt, rows, sizeof rows / sizeof *rows); \
    } while (0)

#define QWEN "<tool_call> <think> enable_thinking tools"

static void test_hermes(void **state)
{
    (void)state;
    ROWS(QWEN, NULL, {"Hello", "[content]Hello"}, {" Hello \n", "[content] Hello \n"},
         {"a <b> </think> <think> c", "[content]a <b> </think> <think> c"},
         {"<think>\nhm\n</think>\n\nYes. ", "[thinking]hm[content]Yes. "},
         {"<think>\n\n</think>\n\nYes", "[content]Yes"}, {"<think>hm <thi", "[thinking]hm <thi"},
         {"<think>a</think><tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>",
          "[thinking]a[call]now {}"},
         {"Let me look.\n<tool_call>\n{\"name\": \"look\", \"arguments\": {\"place\": \"K\\u00f6ln "
          "</tool_cal>\", \"days\": 0.1}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", "
          "\"arguments\": \"{}\"}\n</tool_call>\n",
          "[content]Let me look.[call]look {\"place\":\"Köln </tool_cal>\",\"days\":0.1}[call]now "
          "{}"},
         {"<tool_call>{\"name\": \"now\"}</tool_call> done", "[call]now {}[content]done"},
         {"<tool_call>{\"name\": \"now\", \"arguments\": {}}", "[call]now {}"},
         {"<tool_call>{\"name\": \"now\", </tool_call>after",
          "[bad]<tool_call>{\"name\": \"now\", [content]after"},
         {"<tool_call>{\"nam", "[bad]<tool_call>{\"nam"}, {"<tool_cal", "[content]<tool_cal"},
         {"a <tool_call", "[content]a <tool_call"}, {"<tool_calls>{}", "[content]<tool_calls>{}"});
}

static void test_opened_thinking(void **state)
{
    (void)state;
    ROWS(QWEN, "<|im_start|>assistant\n<think>\n",
         {"hm\n</think>\n\nYes", "[thinking]hm[content]Yes"}, {"\nstill", "[thinking]still"},
         {"a</think><tool_call>{\"name\":\"now\"}</tool_call>", "[thinking]a[call]now {}"});
    ROWS(QWEN, "<think>\n\n</think>\n\n", {"Yes", "[content]Yes"});
}

static void test_xml(void **state)
{
    (void)state;
    ROWS("<tool_call> <function= <parameter=", NULL,
         {"<tool_call>\n<function=look>\n<parameter=place>\nNew\nYork\n</"
          "parameter>\n<parameter=days>\n3\n"
          "</parameter>\n<parameter=deep>\n{\"a\": [1]}\n</parameter>\n</function>\n</tool_call>",
          "[call]look {\"place\":\"New\\nYork\",\"days\":3,\"deep\":{\"a\":[1]}}"},
         {"<function=look>\n<parameter=place>\n12\n</parameter>\n</function>\n</tool_call>",
          "[call]look {\"place\":\"12\"}"},
         {"<tool_call><function=now></function></tool_call>", "[call]now {}"},
         {"<tool_call><function=now</tool_call>x", "[bad]<tool_call><function=now[content]x"},
         {"<function=look>{\"days\": 1}</function>", "[call]look {\"days\":1}"});
    ROWS("<tool_call>{name}<arg_key>", NULL,
         {"<tool_call>look\n<arg_key>place</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days"
          "</arg_key><arg_value>2</arg_value></tool_call>",
          "[call]look {\"place\":\"Rome\",\"days\":2}"},
         {"<tool_call>now</tool_call>", "[call]now {}"});
}

static void test_llama(void **state)
{
    (void)state;
    ROWS("<|python_tag|> \"parameters\": dictionary", NULL,
         {"{\"name\": \"look\", \"parameters\": {\"place\": \"a}\\\"\"}}",
          "[call]look {\"place\":\"a}\\\"\"}"},
         {"{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"now\", \"parameters\": {}}",
          "[call]now {}[call]now {}"},
         {" {\"name\": \"nobody\", \"parameters\": {}} x",
          "[content] {\"name\": \"nobody\", \"parameters\": {}} x"},
         {"{\"answer\": 1}", "[content]{\"answer\": 1}"},
         {"{\"name\": \"A\"", "[content]{\"name\": \"A\""}, {"; {", "[content]; {"},
         {"[1, 2]", "[content][1, 2]"}, {"{", "[content]{"},
         {"Hi {\"name\": \"now\"}", "[content]Hi {\"name\": \"now\"}"},
         {"<|python_tag|>look.call(place=\"Rome\", days=2)",
          "[call]look {\"place\":\"Rome\",\"days\":2}"},
         {"<|python_tag|>{\"name\": \"now\", \"parameters\": {}}", "[call]now {}"},
         {"<|python_tag|>print(1)", "[bad]<|python_tag|>print(1)"});
}

static void test_mistral(void **state)
{
    (void)state;
    ROWS("[TOOL_CALLS] [THINK]", NULL,
         {"[TOOL_CALLS][{\"name\": \"look\", \"arguments\": {\"days\": 1}, \"id\": \"abc123def\"}, "
          "{\"name\": \"now\", \"arguments\": {}}]",
          "[call]look {\"days\":1} id=abc123def[call]now {}"},
         {"[TOOL_CALLS]look[CALL_ID]abcdefghi[ARGS]{\"place\": \"]}\"}[TOOL_CALLS]now[ARGS]{}",
          "[call]look {\"place\":\"]}\"} id=abcdefghi[call]now {}"},
         {"[TOOL_CALLS]now{}", "[call]now {}"}, {"[THINK]a[/THINK]b", "[thinking]a[content]b"},
         {"[TOOL_CALLS]now", "[bad][TOOL_CALLS]now"}, {"[TOOL_CALL", "[content][TOOL_CALL"});
}

static void test_harmony(void **state)
{
    (void)state;
    ROWS(
        "<|start|> <|channel|>analysis <|message|>", NULL,
        {"<|channel|>analysis<|message|>Hm.\n<|end|><|start|>assistant<|channel|>final<|message|>"
         "Yes. <|return|>",
         "[thinking]Hm.\n[content]Yes. "},
        {"<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.look <|constrain|>json<|message|>{\"place\":\"Rome\"}<|call|>",
         "[thinking]a[call]look {\"place\":\"Rome\"}"},
        {"<|start|>assistant to=functions.now<|channel|>commentary json<|message|>{}",
         "[call]now {}"},
        {"<|channel|>commentary<|message|>I'll look.<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.now<|message|>{",
         "[content]I'll look.[bad]to=functions.now {"},
        {"Plain text", "[content]Plain text"},
        {"<|channel|>final<|message|>a<|end|><|start|>assist", "[content]a"});
}

static void test_gemma(void **state)
{
    (void)state;
    ROWS("<start_of_turn>", NULL,
         {"Sure:\n```tool_code\nlook(place='Rome', days=2)\n```\n",
          "[content]Sure:[call]look {\"place\":\"Rome\",\"days\":2}"},
         {"```python\nx = 1\n```", "[content]```python\nx = 1\n```"},
         {"```tool_code\nx = 1\n```", "[bad]```tool_code\nx = 1\n"});
    ROWS(
        "<|tool_call> <|channel>thought", NULL,
        {"<|channel>thought\nhm\n<channel|><|tool_call>call:look{place:<|\"|>a \"b\" "
         "}<|\"|>,days:2,deep:{k:[1.5,true,null]}}<tool_call|>",
         "[thinking]hm[call]look {\"place\":\"a \\\"b\\\" }\",\"days\":2,\"deep\":{\"k\":[1.5,true,"
         "null]}}"});
    ROWS("<start_function_call>", NULL,
         {"<start_function_call>call:look{place:<escape>Rome<escape>}<end_function_call>",
          "[call]look {\"place\":\"Rome\"}"});
}

static void test_deepseek(void **state)
{
    (void)state;
    ROWS(
        "<｜tool▁calls▁begin｜> <think>", "<think>\n",
        {"a</"
         "think>b<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n```json\n"
         "{\"days\": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n"
         "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "[thinking]a[content]b[call]look {\"days\":1}[call]now {}"},
        {"</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
         "<｜tool▁calls▁end｜>",
         "[call]now {}"});
    ROWS("｜DSML｜", NULL,
         {"<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"look\">\n<｜DSML｜parameter "
          "name=\"place\" "
          "string=\"true\">5</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" "
          "string=\"false\">5"
          "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
          "[call]look {\"place\":\"5\",\"days\":5}"});
}

static void test_others(void **state)
{
    (void)state;
    ROWS("<minimax:tool_call>", NULL,
         {"<minimax:tool_call>\n<invoke name=\"look\">\n<parameter name=\"days\">4</parameter>\n"
          "</invoke>\n</minimax:tool_call>",
          "[call]look {\"days\":4}"});
    ROWS("<|tool_calls_section_begin|>", NULL,
         {"ok<|tool_calls_section_begin|><|tool_call_begin|>functions.look:0"
          "<|tool_call_argument_begin|>{\"days\": 1}<|tool_call_end|><|tool_calls_section_end|>",
          "[content]ok[call]look {\"days\":1} id=functions.look:0"});
    ROWS("<|START_THINKING|><|START_ACTION|>", NULL,
         {"<|START_THINKING|>a<|END_THINKING|><|START_ACTION|>[{\"tool_call_id\": \"0\", "
          "\"tool_name\": \"now\", \"parameters\": {}}]<|END_ACTION|>",
          "[thinking]a[call]now {} id=0"},
         {"<|START_RESPONSE|>hi<|END_RESPONSE|>", "[content]hi"});
    ROWS("<|tool_call|>", NULL,
         {"<|tool_call|>[{\"name\": \"now\", \"arguments\": {}}]<|/tool_call|>", "[call]now {}"});
    ROWS("<|tool_call_start|>", NULL,
         {"<|tool_call_start|>[look(place=\"a\"), now()]<|tool_call_end|>b",
          "[call]look {\"place\":\"a\"}[call]now {}[content]b"});
    ROWS("a template with tools of no known kind", NULL,
         {"{\"name\": \"now\", \"arguments\": {}}", "[call]now {}"},
         {"<tool_call>{\"name\": \"now\"}</tool_call>", "[call]now {}"});
}

/* The templates of the shared data write calls as their models do: what one writes for an answer
 * with a call is parsed back. */
static char *rendered(const struct chat_template *t, const char *messages, const json_t *with,
                      bool prompt)
{
    struct buf b;
    struct err e = {0};
    json_t *m = json_loads(messages, 0, NULL);
    struct chat_request r = {.messages = m, .tools = with, .add_generation_prompt = prompt};
    buf_init(&b, 1 << 20);
    assert_ok(chat_render(t, &r, &b, &e), e);
    json_decref(m);
    return buf_take(&b);
}

static void check_template(const char *path, const json_t *with)
{
    static const char question[] = "[{\"role\": \"user\", \"content\": \"hi\"}]";
    static const char answer[] =
        "[{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"\", "
        "\"tool_calls\": [{\"id\": \"abcdefghi\", \"type\": \"function\", \"function\": {\"name\": "
        "\"look\", \"arguments\": {\"days\": 2, \"place\": \"New York\"}}}]}]";
    struct chat_tokens tokens = {"<s>", "</s>"};
    struct chat_template *t;
    struct err e = {0};
    char *source;
    size_t n, same = 0;
    assert_ok(file_read(path, 1 << 20, &source, &n, &e), e);
    assert_ok(chat_template_new(&t, source, n, &tokens, &e), e);
    char *before = rendered(t, question, with, true), *after = rendered(t, answer, with, false);
    while (before[same] && before[same] == after[same])
        same++;
    while (same && before[same] && after[same - 1] != '>') /* where the prompt goes its own way */
        same--;
    struct chat_parser_options o = {
        .format = chat_format_of_template(t), .tools = with, .prompt = before, .prompt_n = same};
    char *got = parse(&o, after + same, 5, 5);
    if (!strstr(got, "[call]look {\"days\":2,\"place\":\"New York\"}"))
        fail_msg("%s\n wrote  %s\n parsed %s", path, after + same, got);
    free(got);
    free(before);
    free(after);
    free(source);
    chat_template_free(t);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Qwen-Qwen3-0.6B",
        "Qwen3-Coder",
        "Qwen3.5-4B",
        "Qwen-QwQ-32B",
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
        "meta-llama-Llama-3.3-70B-Instruct",
        "meta-llama-Llama-3.2-3B-Instruct",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "Mistral-Small-3.2-24B-Instruct-2506",
        "google-gemma-4-31B-it",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "deepseek-ai-DeepSeek-V3.2",
        "deepseek-ai-DeepSeek-V4",
        "GLM-5.2",
        "MiniMax-M2",
        "moonshotai-Kimi-K2",
        "ibm-granite-granite-4.1",
        "LFM2.5-8B-A1B",
        "Cohere2MoE",
        "StepFun3.5-Flash",
        "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
        "meetkai-functionary-medium-v3.1",
        "upstage-Solar-Open-100B",
        "Apertus-8B-Instruct",
        "unsloth-Apriel-1.5",
        "MiniMax-M1",
        "poolside-Laguna-S-2.1",
    };
    json_t *with = described_tools();
    size_t absent = 0, n = sizeof names / sizeof *names;
    for (size_t i = 0; i < n; i++) {
        char file[128];
        snprintf(file, sizeof file, "chat-templates/llama.cpp/%s.jinja", names[i]);
        char *path = test_shared(file);
        if (path)
            check_template(path, with);
        else
            absent++;
        free(path);
    }
    json_decref(with);
    if (absent == n)
        test_skip("no chat templates in the shared data");
}

static void test_without_tools(void **state)
{
    (void)state;
    struct chat_parser_options o = {.format = chat_format_of(QWEN)};
    check(&o, "<think>a</think> <tool_call>{}</tool_call>",
          "[thinking]a[content]<tool_call>{}</tool_call>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hermes),     cmocka_unit_test(test_opened_thinking),
        cmocka_unit_test(test_xml),        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_mistral),    cmocka_unit_test(test_harmony),
        cmocka_unit_test(test_gemma),      cmocka_unit_test(test_deepseek),
        cmocka_unit_test(test_others),     cmocka_unit_test(test_without_tools),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
