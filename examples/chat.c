/* chat.c - talks with a language model through the library, a line at a time.
 *
 *     cc chat.c $(pkg-config --cflags --libs lar) -o chat
 *     ./chat MODEL.gguf
 */
#include <lar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGES 1000

/* The answer so far, to be part of the next question. */
struct answer {
    char *text;
    size_t n;
};

static int on_text(const char *text, size_t n, void *ctx)
{
    struct answer *a = ctx;
    char *grown = realloc(a->text, a->n + n + 1);
    if (!grown)
        return 1; /* stops the answer */
    a->text = grown;
    memcpy(a->text + a->n, text, n + 1);
    a->n += n;
    fputs(text, stdout);
    fflush(stdout);
    return 0;
}

/* Answers each line of standard input. */
static int talk(struct lar_text_model *model, struct lar_error *e)
{
    static struct lar_message messages[MAX_MESSAGES];
    static char line[65536];
    struct lar_generate g;
    int n = 0, rc = 0;
    lar_generate_init(&g, model);
    g.messages = messages;
    g.max_tokens = 200;
    g.on_text = on_text;
    while (rc == 0 && n + 2 <= MAX_MESSAGES && fgets(line, sizeof(line), stdin)) {
        struct answer answer = {0};
        line[strcspn(line, "\n")] = '\0';
        messages[n++] = (struct lar_message){"user", strdup(line)};
        g.n_messages = n;
        g.ctx = &answer;
        rc = lar_generate(model, &g, NULL, e);
        putchar('\n');
        if (rc == 0)
            messages[n++] = (struct lar_message){"assistant",
                                                 answer.text ? answer.text : strdup("")};
        else
            free(answer.text);
    }
    while (n > 0)
        free((char *)messages[--n].content);
    return rc;
}

int main(int argc, char **argv)
{
    struct lar *lar = NULL;
    struct lar_text_model *model = NULL;
    struct lar_error e = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: chat MODEL\n");
        return 2;
    }
    int rc = lar_open(&lar, 0, &e);
    if (rc == 0)
        rc = lar_text_model_open(&model, lar, argv[1], NULL, &e);
    if (rc == 0)
        rc = talk(model, &e);
    if (rc)
        fprintf(stderr, "chat: %s\n", e.text);
    lar_text_model_close(model);
    lar_close(lar);
    return rc ? 1 : 0;
}
