/* replay.c - feeds every file of the folders and files named on the command line to one fuzzer, so
 * that its seeds, and every crash ever fixed, are tests of each build (and of compilers without
 * libFuzzer). Each input lies in its own heap block: a read past its end is seen by ASan.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    int ok = f && data && fread(data, 1, size, f) == size;
    if (ok)
        LLVMFuzzerTestOneInput(data, size);
    else
        fprintf(stderr, "%s: cannot be read\n", path);
    if (f)
        fclose(f);
    free(data);
    return ok;
}

/* Returns the number of inputs run, or -1. */
static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: no such file or folder\n", path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, (size_t)st.st_size) ? 1 : -1;

    DIR *dir = opendir(path);
    int n = dir ? 0 : -1;
    for (struct dirent *d; n >= 0 && (d = readdir(dir));) {
        char child[4096];
        if (d->d_name[0] == '.')
            continue;
        snprintf(child, sizeof child, "%s/%s", path, d->d_name);
        int k = replay(child);
        n = k < 0 ? -1 : n + k;
    }
    if (dir)
        closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs\n", total);
    return total == 0; /* an empty corpus tests nothing */
}
