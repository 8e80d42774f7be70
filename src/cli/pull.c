/* pull.c - the command `lar pull`: a model from a registry into the store. */
#include "engine/pull.h"

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "engine/model_name.h"
#include "engine/store.h"

#include <stdlib.h>
#include <string.h>

struct shown {
    struct progress progress;
    bool begun;
};

static void show(int64_t done, int64_t size, void *ctx)
{
    struct shown *s = ctx;
    s->begun = true;
    progress_step(&s->progress, (int)(done / 1000000), (int)((size + 999999) / 1000000));
}

static int report(const struct model_name *name, enum pull_result result, bool checked,
                  struct err *e)
{
    static const char *const said[][2] = {
        [PULL_NEW] = {"is here now", "is not here yet"},
        [PULL_NEWER] = {"has been replaced by a newer one", "has changed: `lar pull` gets it"},
        [PULL_CURRENT] = {"is up to date", "is up to date"}};
    char *text = model_name_text(name), *line = mem_printf("%s %s\n", text, said[result][checked]);
    int rc = message_out(line, strlen(line), e);
    free(line);
    free(text);
    return rc;
}

int command_pull(const struct options *o, struct err *e)
{
    struct store store;
    struct model_name name;
    struct shown shown = {.begun = false};
    enum pull_result result;
    int rc = model_name_parse(&name, o->operands[0], e);
    if (rc)
        return rc;
    store_open(&store);
    progress_begin_bytes(&shown.progress, 2);
    struct pull p = {.store = &store,
                     .name = &name,
                     .plain = o->value[OPTION_INSECURE].given,
                     .check = o->value[OPTION_DRY_RUN].given,
                     .cancel = interrupt_flag(),
                     .progress = o->value[OPTION_QUIET].given ? NULL : show,
                     .ctx = &shown};
    rc = pull_model(&p, &result, e);
    if (shown.begun)
        progress_end(&shown.progress);
    store_close(&store);
    return rc ? rc : report(&name, result, p.check, e);
}
