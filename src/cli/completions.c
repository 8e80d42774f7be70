/* completions.c - see completions.h.
 *
 * Each script knows the commands, each command's options, and of an option's value whether it is a
 * file or one of some words.
 */
#include "cli/completions.h"

#include "base/buf.h"
#include "cli/options.h"
#include "pipeline/noise.h"
#include "pipeline/sampler.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MAX_WORDS 1024

static bool belongs(int option, int command)
{
    return option_rows[option].commands & (1u << command);
}

/* Does this placeholder of a value or an operand stand for a file? */
static bool is_file(const char *value)
{
    static const char *const signs[] = {"FILE", "FOLDER", "PATH", "PICTURE", "MODEL", "IN "};
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
        if (strstr(value, signs[i]))
            return true;
    return false;
}

static void add_word(struct buf *b, const char *word)
{
    if (b->len)
        buf_append_char(b, ' ');
    buf_append_str(b, word);
}

/* The words that a value may be, with blanks between; "" where it is anything. */
static void words_of(struct buf *b, int option)
{
    const struct option_row *r = &option_rows[option];
    buf_reset(b);
    for (int i = 0; option == OPTION_SAMPLER && i < N_SAMPLER; i++)
        add_word(b, sampler_name((enum sampler_kind)i));
    for (int i = 0; option == OPTION_SCHEDULE && i < N_SCHEDULE; i++)
        add_word(b, schedule_name((enum schedule_kind)i));
    if (option == OPTION_RNG) {
        add_word(b, noise_kind_name(NOISE_PHILOX));
        add_word(b, noise_kind_name(NOISE_MT19937));
    }
    for (const char *p = r->kind == KIND_CHOICE ? r->value : ""; *p; p++)
        buf_append_char(b, *p == '|' ? ' ' : *p);
}

static void commands(struct buf *b)
{
    for (int i = 0; i < N_COMMAND; i++)
        buf_printf(b, "%s%s", i ? " " : "", command_rows[i].name);
}

/* ---- bash ---- */

static void bash_options(struct buf *b, int command)
{
    buf_printf(b, "    %s) options='", command_rows[command].name);
    for (int i = 0, n = 0; i < N_OPTION; i++) {
        const struct option_row *r = &option_rows[i];
        if (!belongs(i, command))
            continue;
        buf_printf(b, "%s--%s", n++ ? " " : "", r->name);
        if (r->letter)
            buf_printf(b, " -%c", r->letter);
    }
    buf_printf(b, "' files=%s ;;\n", is_file(command_rows[command].operands) ? "yes" : "");
}

/* "--name" or "--name | -n", of the options that take a value. */
static void bash_value(struct buf *b, int option, struct buf *words)
{
    const struct option_row *r = &option_rows[option];
    words_of(words, option);
    buf_printf(b, "    --%s", r->name);
    if (r->letter)
        buf_printf(b, " | -%c", r->letter);
    buf_printf(b, ") words='%s' files=%s ;;\n", buf_str(words), is_file(r->value) ? "yes" : "");
}

static void bash(struct buf *b, struct buf *words)
{
    buf_append_str(b, "# bash completion for lar, made by `lar help --completions bash`\n"
                      "_lar() {\n"
                      "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                      "    local words='' options='' files=''\n"
                      "    COMPREPLY=()\n"
                      "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                      "        COMPREPLY=($(compgen -W '");
    commands(b);
    buf_append_str(b, "' -- \"$cur\"))\n"
                      "        return\n"
                      "    fi\n"
                      "    case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < N_COMMAND; i++)
        bash_options(b, i);
    /* "=" is a word of its own: --type=q8 is three. */
    buf_append_str(b, "    esac\n"
                      "    if [ \"$cur\" = = ]; then\n"
                      "        cur=''\n"
                      "    elif [ \"$prev\" = = ]; then\n"
                      "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                      "    fi\n"
                      "    case $prev in\n");
    for (int i = 0; i < N_OPTION; i++)
        if (option_rows[i].kind != KIND_FLAG)
            bash_value(b, i, words);
    buf_append_str(b, "    *)\n"
                      "        case $cur in\n"
                      "        -*) words=$options files='' ;;\n"
                      "        *) [ \"${COMP_WORDS[1]}\" = help ] && words='");
    commands(b);
    buf_append_str(b, "' ;;\n"
                      "        esac\n"
                      "    esac\n"
                      "    if [ -n \"$words\" ]; then\n"
                      "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                      "    elif [ -n \"$files\" ]; then\n"
                      "        compopt -o default 2>/dev/null\n"
                      "    fi\n"
                      "}\n"
                      "complete -F _lar lar\n");
}

/* ---- zsh ---- */

/* Text within '...' of zsh, where these characters mean something to _arguments and _describe. */
static void zsh_text(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '\'')
            buf_append_str(b, "'\\'");
        else if (strchr("[]:\\", *s))
            buf_append_char(b, '\\');
        buf_append_char(b, *s);
    }
}

/* One spelling of an option: '*--name=[text]:VALUE:action' */
static void zsh_spelling(struct buf *b, int option, const char *spelling, const char *words)
{
    const struct option_row *r = &option_rows[option];
    buf_printf(b, " \\\n            '%s%s", r->kind == KIND_LIST ? "*" : "", spelling);
    buf_append_char(b, '[');
    zsh_text(b, r->text);
    buf_append_char(b, ']');
    if (r->kind != KIND_FLAG) {
        buf_append_char(b, ':');
        zsh_text(b, r->kind == KIND_CHOICE ? r->name : r->value);
        buf_printf(b, *words ? ":(%s)" : ":%s",
                   *words              ? words
                   : is_file(r->value) ? "_files"
                                       : " ");
    }
    buf_append_char(b, '\'');
}

static void zsh_option(struct buf *b, int option, struct buf *words)
{
    const struct option_row *r = &option_rows[option];
    struct buf spelling;
    words_of(words, option);
    buf_init(&spelling, MAX_WORDS);
    buf_printf(&spelling, "--%s%s", r->name, r->kind == KIND_FLAG ? "" : "=");
    zsh_spelling(b, option, buf_str(&spelling), buf_str(words));
    if (r->letter) {
        buf_reset(&spelling);
        buf_printf(&spelling, "-%c%s", r->letter, r->kind == KIND_FLAG ? "" : "+");
        zsh_spelling(b, option, buf_str(&spelling), buf_str(words));
    }
    buf_release(&spelling);
}

static void zsh(struct buf *b, struct buf *words)
{
    buf_append_str(b, "#compdef lar\n"
                      "# zsh completion for lar, made by `lar help --completions zsh`\n"
                      "_lar() {\n"
                      "    local -a commands\n"
                      "    commands=(\n");
    for (int i = 0; i < N_COMMAND; i++) {
        buf_printf(b, "        '%s:", command_rows[i].name);
        zsh_text(b, command_rows[i].summary);
        buf_append_str(b, "'\n");
    }
    buf_append_str(b, "    )\n"
                      "    if (( CURRENT == 2 )); then\n"
                      "        _describe command commands\n"
                      "        return\n"
                      "    fi\n"
                      "    local command=$words[2]\n"
                      "    shift words\n"
                      "    (( CURRENT-- ))\n"
                      "    case $command in\n");
    for (int i = 0; i < N_COMMAND; i++) {
        buf_printf(b, "    %s)\n        _arguments -s -S", command_rows[i].name);
        for (int k = 0; k < N_OPTION; k++)
            if (belongs(k, i))
                zsh_option(b, k, words);
        if (i == COMMAND_HELP)
            buf_append_str(b, " \\\n            '*:command:{_describe command commands}'");
        else if (is_file(command_rows[i].operands))
            buf_append_str(b, " \\\n            '*:file:_files'");
        buf_append_str(b, "\n        ;;\n");
    }
    buf_append_str(b, "    esac\n"
                      "}\n"
                      "_lar \"$@\"\n");
}

/* ---- fish ---- */

static void fish_text(struct buf *b, const char *s)
{
    buf_append_char(b, '\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\')
            buf_append_char(b, '\\');
        buf_append_char(b, *s);
    }
    buf_append_char(b, '\'');
}

/* The commands that have an option, or whose operands are files (option < 0). */
static void fish_seen(struct buf *b, int option)
{
    buf_append_str(b, "complete -c lar -n '__fish_seen_subcommand_from");
    for (int i = 0; i < N_COMMAND; i++)
        if (option >= 0 ? belongs(option, i) : is_file(command_rows[i].operands))
            buf_printf(b, " %s", command_rows[i].name);
    buf_append_char(b, '\'');
}

static void fish_option(struct buf *b, int option, struct buf *words)
{
    const struct option_row *r = &option_rows[option];
    words_of(words, option);
    fish_seen(b, option);
    buf_printf(b, " -l %s", r->name);
    if (r->letter)
        buf_printf(b, " -s %c", r->letter);
    if (words->len)
        buf_printf(b, " -x -a '%s'", buf_str(words));
    else if (r->kind != KIND_FLAG)
        buf_append_str(b, is_file(r->value) ? " -r -F" : " -x");
    buf_append_str(b, " -d ");
    fish_text(b, r->text);
    buf_append_char(b, '\n');
}

static void fish(struct buf *b, struct buf *words)
{
    buf_append_str(b, "# fish completion for lar, made by `lar help --completions fish`\n"
                      "complete -c lar -f\n");
    for (int i = 0; i < N_COMMAND; i++) {
        buf_printf(b, "complete -c lar -n __fish_use_subcommand -a %s -d ", command_rows[i].name);
        fish_text(b, command_rows[i].summary);
        buf_append_char(b, '\n');
    }
    buf_append_str(b, "complete -c lar -n '__fish_seen_subcommand_from help' -a '");
    commands(b);
    buf_append_str(b, "'\n");
    fish_seen(b, -1);
    buf_append_str(b, " -F\n");
    for (int i = 0; i < N_OPTION; i++)
        fish_option(b, i, words);
}

void completions(struct buf *b, const char *shell)
{
    struct buf words;
    buf_init(&words, MAX_WORDS);
    if (strcmp(shell, "bash") == 0)
        bash(b, &words);
    else if (strcmp(shell, "zsh") == 0)
        zsh(b, &words);
    else
        fish(b, &words);
    buf_release(&words);
}
