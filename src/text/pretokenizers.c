/* pretokenizers.c - see pretokenizers.h.
 *
 * The names are those that llama.cpp's src/llama-vocab.cpp knows. The patterns are those of the
 * models' own tokenizer.json, with which the models were trained; where llama.cpp writes them
 * differently (its engine lacks classes of letters), the original stands here.
 */
#include "text/pretokenizers.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LINES    "\\s*[\\r\\n]+|"
#define SPACES   "\\s+(?!\\S)|\\s+"
#define GPT2     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES
#define WORDS    SUFFIXES "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define SYMBOLS  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
#define PATHS    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|"
#define LLAMA3   WORDS "\\p{N}{1,3}|" SYMBOLS LINES SPACES
#define QWEN2    WORDS "\\p{N}|" SYMBOLS LINES SPACES

/* Words that a capital inside cuts, as o200k and tekken have them. */
#define UPPER  "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER  "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define LEAD   "[^\\r\\n\\p{L}\\p{N}]?"
#define CAMELS LEAD "[" UPPER "]*[" LOWER "]+|" LEAD "[" UPPER "]+[" LOWER "]*|"
#define CAMELS_SUFFIXED \
    LEAD "[" UPPER "]*[" LOWER "]+" SUFFIXES "?|" LEAD "[" UPPER "]+[" LOWER "]*" SUFFIXES "?|"
#define GPT4O   CAMELS_SUFFIXED "\\p{N}{1,3}|" PATHS LINES SPACES
#define KIMI_UP "[" UPPER "&&[^\\p{Han}]]"
#define KIMI_LO "[" LOWER "&&[^\\p{Han}]]"

#define DEEPSEEK3                                            \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" \
    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES SPACES
#define HAN_KANA    "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"
#define CJK         "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define BLOOM       " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define SYMBOL_RUNS "[\\p{P}\\$\\+<=>\\^~\\|`]+"

/* Digits in threes, counted from the end of the number. */
#define THREES "(?<!\\d)\\d{1,2}(?=(?:\\d{3})+(?!\\d))|\\d{3}|\\d{1,2}"

/* The same of a piece that is a number, if it begins with one. The files' \d{1,3}(?=(?:\d{3})*\b)
 * looks through the rest of the number at every group, which takes quadratic time. */
#define NUMBER_IN_THREES "^\\d{1,2}(?=(?:\\d{3})*\\z)|\\G\\d{3}(?=\\d|\\z)"

/* The cased letters of DeepSeek LLM's first vocabulary. */
#define DEEPSEEK_LETTERS                                                                    \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"          \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"  \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"           \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"                \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"          \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"          \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}" \
    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}"  \
    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"          \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"           \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}"            \
    "\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}" \
    "\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"  \
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"           \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"          \
    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"        \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"  \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

#define GPT2_NAMES                                                                           \
    "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert " \
    "jina-v1-en jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling exaone4"

const char pretokenizer_gpt2[] = GPT2;

static const struct pretokenizer table[] = {
    {.names = "default", .patterns = {SYMBOL_RUNS, GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.names = "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     .patterns = {LLAMA3},
     .whole_words = true,
     .add_bos = true},
    {.names = "dbrx smaug-bpe", .patterns = {LLAMA3}},
    {.names = "glm4 chatglm-bpe", .patterns = {LLAMA3}, .no_bos = true},
    {.names = "minicpm5",
     .patterns = {"\\p{N}{1,3}", WORDS "\\p{N}+|" SYMBOLS LINES SPACES},
     .whole_words = true},
    {.names = "qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan solar-open grok-2",
     .patterns = {QWEN2}},
    {.names = "qwen35",
     .patterns = {SUFFIXES "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"
                           " ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES SPACES}},
    {.names = "laguna", .patterns = {"[^\\n]+|[\\n]+", QWEN2}},
    {.names = "seed-coder",
     .patterns = {WORDS "\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES SPACES}},
    {.names = "bailingmoe bailingmoe2 llada-moe",
     .patterns = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}|"
                  " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|" SPACES}},
    {.names = "exaone-moe",
     .patterns = {SUFFIXES "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|"
                           " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|" SPACES}},
    {.names = "jais-2",
     .patterns = {WORDS "\\p{N}{1,3}|" SYMBOLS LINES
                        "\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|"
                        "\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|"
                        "\\s{1,2}(?!\\S)|\\s{1}"}},
    {.names = "gpt-4o llama4 kanana2 talkie inkling minimax-m2", .patterns = {GPT4O}},
    {.names = "granite-embed-multi-97m", .patterns = {GPT4O}, .whole_words = true},
    {.names = "tekken",
     .patterns = {CAMELS "\\p{N}|" PATHS LINES SPACES},
     .whole_words = true,
     .add_bos = true},
    {.names = "tiny_aya cohere2moe", .patterns = {"(?<!\\d)\\d+\\b", NUMBER_IN_THREES, GPT4O}},
    {.names = "youtu",
     .patterns = {"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}"
                  "\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}"
                  "\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+|" HAN_KANA,
                  CAMELS_SUFFIXED "\\p{N}|" PATHS LINES SPACES},
     .whole_words = true},
    {.names = "kimi-k2",
     .patterns = {"[\\p{Han}]+|" LEAD KIMI_UP "*" KIMI_LO "+" SUFFIXES "?|" LEAD KIMI_UP "+" KIMI_LO
                  "*" SUFFIXES "?|\\p{N}{1,3}|" SYMBOLS LINES SPACES}},
    {.names = "deepseek-llm",
     .patterns = {"[\\r\\n]", "\\s?[" DEEPSEEK_LETTERS "]+",
                  "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
                  "\\x{3000}-\\x{3002}]+",
                  "\\s+$", CJK, "\\p{N}+"}},
    {.names = "deepseek-coder",
     .patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}"}},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm",
     .patterns = {"\\p{N}{1,3}", HAN_KANA, DEEPSEEK3}},
    {.names = "afmoe",
     .patterns = {THREES,
                  "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{30ff}"
                  "\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}"
                  "\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}"
                  "\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+",
                  DEEPSEEK3}},
    {.names = "superbpe", .patterns = {"\\p{N}+", THREES}},
    {.names = "falcon", .patterns = {SYMBOL_RUNS, GPT2, "[0-9][0-9][0-9]"}},
    {.names = "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
     .patterns = {"\\p{N}", GPT2}},
    {.names = GPT2_NAMES, .patterns = {GPT2}},
    {.names = "poro-chat bloom gpt3-finnish", .patterns = {BLOOM}},
    {.names = "viking", .patterns = {BLOOM, "\\p{N}"}},
    {.names = "chameleon",
     .patterns = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )",
                  "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", pretokenizer_gpt2},
     .add_bos = true},
    {.names = "gemma4 granite-embed-multi-311m",
     .patterns = {"[^\\n]+|[\\n]+"},
     .meta_space = true,
     .add_bos = true},
    {.names = "sarvam-moe", .patterns = {"[^\\n]+|[\\n]+"}, .meta_space = true},
};

/* Is the word one of the blank-separated words of the list? */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

const struct pretokenizer *pretokenizer_find(const char *name)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (*name && !strchr(name, ' ') && listed(table[i].names, name))
            return &table[i];
    return NULL;
}

static bool same_patterns(const char *const *a, const char *const *b)
{
    for (int i = 0; i < PRETOKENIZER_MAX_PATTERNS; i++)
        if (!a[i] != !b[i] || (a[i] && strcmp(a[i], b[i]) != 0))
            return false;
    return true;
}

bool pretokenizer_name(const char *const patterns[PRETOKENIZER_MAX_PATTERNS], bool whole_words,
                       char name[PRETOKENIZER_NAME])
{
    const struct pretokenizer *best = NULL;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct pretokenizer *p = &table[i];
        if (!p->meta_space && same_patterns(p->patterns, patterns) &&
            (!best || (best->whole_words != whole_words && p->whole_words == whole_words)))
            best = p;
    }
    if (best)
        snprintf(name, PRETOKENIZER_NAME, "%.*s", (int)strcspn(best->names, " "), best->names);
    return best != NULL;
}
