/* test.c - see test.h. */
#include "support/test.h"

#include "base/file.h"
#include "base/mem.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *test_data(const char *name)
{
    return file_join(TEST_SOURCE_DIR "/tests/data", name);
}

char *test_shared(const char *name)
{
    const char *dir = getenv("LAR_SHARED");
    char *path = file_join(dir ? dir : TEST_SOURCE_DIR "/../shared/data", name);
    if (file_exists(path))
        return path;
    free(path);
    return NULL;
}

#define MAX_DIRS 64
static char *dirs[MAX_DIRS];
static int n_dirs;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void remove_dirs(void)
{
    while (n_dirs > 0) {
        nftw(dirs[--n_dirs], remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(dirs[n_dirs]);
    }
}

char *test_temp_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = file_join(tmp ? tmp : "/tmp", "lar-test-XXXXXX");
    if (!mkdtemp(path) || n_dirs == MAX_DIRS)
        abort();
    if (n_dirs == 0)
        atexit(remove_dirs);
    dirs[n_dirs++] = mem_strdup(path);
    return path;
}
