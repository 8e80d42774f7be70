/* model_path.c - see model_path.h. */
#include "cli/model_path.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONFIG 65536

/* $XDG_x/lar/model, else ~/.config/lar/model; NULL without a home. */
static char *config_file(void)
{
    const char *dir = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (dir && *dir == '/')
        return file_join(dir, "lar/model");
    return home && *home ? file_join(home, ".config/lar/model") : NULL;
}

/* <folder of the program>/../share/lar/models/spark.gguf: for packages that may be moved. */
static char *beside_program(void)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n <= 0)
        return NULL;
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    return file_join(exe, "../share/lar/models/spark.gguf");
}

void model_places_init(struct model_places *p, const char *option)
{
    *p = (struct model_places){
        .option = option,
        .environment = getenv("LAR_MODEL"),
        .config = config_file(),
        .bundled = {beside_program(), mem_strdup(LAR_SOURCE_DIR "/models/spark/spark.gguf"),
                    mem_strdup(LAR_DATA_DIR "/lar/models/spark.gguf")},
    };
}

void model_places_release(struct model_places *p)
{
    free(p->config);
    for (int i = 0; i < MODEL_PATH_BUNDLED; i++)
        free(p->bundled[i]);
    *p = (struct model_places){0};
}

/* The first line without blanks around it, "~/" being the home; NULL when it is empty. */
static char *first_line(const char *text)
{
    const char *home = getenv("HOME");
    text += strspn(text, " \t");
    size_t n = strcspn(text, "\r\n");
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    if (n == 0)
        return NULL;
    if (n > 1 && text[0] == '~' && text[1] == '/' && home)
        return mem_printf("%s%.*s", home, (int)n - 1, text + 1);
    return mem_strndup(text, n);
}

/* Takes `path`, which `who` named: a file or folder, or a name in the store. */
static int named(char *path, const char *who, char **out, struct err *e)
{
    int rc = store_weights(path, out, e);
    if (rc)
        err_prefix(e, "%s", who);
    free(path);
    return rc;
}

int model_places_find(const struct model_places *p, char **path, struct err *e)
{
    *path = NULL;
    if (p->option && *p->option)
        return named(mem_strdup(p->option), "--model", path, e);
    if (p->environment && *p->environment)
        return named(mem_strdup(p->environment), "LAR_MODEL", path, e);
    if (p->config && file_exists(p->config)) {
        char *text = NULL;
        int rc = file_read(p->config, MAX_CONFIG, &text, NULL, e);
        char *line = rc ? NULL : first_line(text);
        free(text);
        if (rc || line)
            return rc ? rc : named(line, p->config, path, e);
    }
    for (int i = 0; i < MODEL_PATH_BUNDLED; i++) {
        if (p->bundled[i] && file_exists(p->bundled[i])) {
            *path = mem_strdup(p->bundled[i]);
            return 0;
        }
    }
    return err_set(e, ERR_NOT_FOUND,
                   "no model: name one with -m FILE, LAR_MODEL=FILE, or in a line of %s",
                   p->config ? p->config : "~/.config/lar/model");
}
