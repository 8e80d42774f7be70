/* draw.c - the speed of drawing, phase by phase, as CSV.
 *
 *     draw [-s WIDTHxHEIGHT] [-a f32|bf16] [-t THREADS] [-n STEPS] [-r PICTURES] [-g GUIDANCE]
 *          [-i ISA] [-l LORA] [-p] [MODEL]
 *
 * MODEL is anything lar opens; LAR_BENCH_MODEL where it is not given, and a skip where neither is.
 * Any weights will do: tools/random_checkpoint makes some in the shapes of the real models. One
 * request draws PICTURES (default 3) pictures of STEPS steps (default 1) without guidance, so that
 * a step is one evaluation of the UNet for one latent; with GUIDANCE > 1 it is one for two.
 *
 *     open      the file's header, configuration, tokenizer; weights are mapped, not read
 *     encode    the prompt, and with a cold cache reading the text encoder
 *     evaluate  one step, median
 *     decode    the VAE, median
 *     total     opening and the whole request
 *
 * wall_s is what a clock on the wall shows. cpu_s is the time of all threads: on a busy machine the
 * ratio of two programs' cpu_s says more than that of their wall_s. peak_rss_mib is the process'
 * up to then, mapped weights included. -p adds rows evaluate/conv2d and the like: where the
 * time of all evaluations and decodings went, by kind of op, as the mean of one.
 */
#include "base/err.h"
#include "cpu/cpu.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES 1000

/* A time, or how long something took; what memory the process has had at most by then. */
struct moment {
    double wall, cpu;
    long rss; /* MiB */
};

static double clock_s(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct moment now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (struct moment){clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_PROCESS_CPUTIME_ID),
                           usage.ru_maxrss / 1024};
}

static struct moment since(struct moment start)
{
    struct moment t = now();
    return (struct moment){t.wall - start.wall, t.cpu - start.cpu, t.rss};
}

/* How long something took, each time. */
struct samples {
    double wall[MAX_SAMPLES], cpu[MAX_SAMPLES];
    int n;
    long rss;
};

static const char *const phase_names[] = {"encode", "evaluate", "decode"};
#define N_PHASE 3

struct bench {
    struct backend base; /* passes ops on to `inner` and counts their time */
    struct backend *inner;
    struct imagine_request r;
    int threads;
    struct samples phase[N_PHASE];
    struct moment op[N_PHASE][N_OP]; /* sums */
    int current;                     /* the phase that runs; -1: none yet */
    struct moment start;             /* of it */
};

static int run_op(struct backend *base, const struct op *op, struct err *e)
{
    struct bench *b = (struct bench *)base;
    struct moment start = now();
    int rc = b->inner->run(b->inner, op, e);
    struct moment t = since(start);
    if (b->current >= 0) {
        b->op[b->current][op->kind].wall += t.wall;
        b->op[b->current][op->kind].cpu += t.cpu;
    }
    return rc;
}

static void end_phase(struct bench *b)
{
    if (b->current < 0 || b->phase[b->current].n == MAX_SAMPLES)
        return;
    struct samples *s = &b->phase[b->current];
    struct moment t = since(b->start);
    s->wall[s->n] = t.wall;
    s->cpu[s->n++] = t.cpu;
    s->rss = t.rss;
}

/* Each call ends a phase and begins the next. */
static int on_progress(const struct imagine_progress *p, void *ctx)
{
    struct bench *b = ctx;
    bool between = p->phase == IMAGINE_STEP && p->step == p->n_steps; /* the DECODE call follows */
    end_phase(b);
    b->current = between ? -1 : (int)p->phase;
    b->start = now();
    return 0;
}

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct bench *b = ctx;
    (void)p, (void)i, (void)seed;
    end_phase(b);
    b->current = -1;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof(*x), by_value);
    return n ? (x[(n - 1) / 2] + x[n / 2]) / 2 : 0;
}

static void row(const struct bench *b, const char *phase, const char *op, struct moment t)
{
    printf("%s%s%s,%s,%s,%d,%dx%d,%g,%.3f,%.3f,%ld\n", phase, op ? "/" : "", op ? op : "",
           b->inner->name, dtype_name(b->r.precision), b->threads, b->r.width, b->r.height,
           b->r.guidance, t.wall, t.cpu, t.rss);
}

static void report(struct bench *b, bool ops)
{
    for (int i = 0; i < N_PHASE; i++) {
        struct samples *s = &b->phase[i];
        row(b, phase_names[i], NULL,
            (struct moment){median(s->wall, s->n), median(s->cpu, s->n), s->rss});
        for (int k = 0; ops && k < N_OP; k++) {
            const struct moment *t = &b->op[i][k];
            if (t->wall > 0)
                row(b, phase_names[i], op_name((enum op_kind)k),
                    (struct moment){t->wall / s->n, t->cpu / s->n, s->rss});
        }
    }
}

struct options {
    const char *model, *isa;
    struct imagine_lora lora; /* .path NULL: none */
    int width, height, threads, steps, pictures;
    double guidance;
    enum dtype precision; /* DTYPE_OTHER: the backend's choice */
    bool ops;
};

static void request(struct bench *b, const struct options *o, const struct image_model *m)
{
    struct imagine_request *r = &b->r;
    imagine_init(r, m, b->inner);
    r->prompt = "a lighthouse on a cliff above the sea, at dusk, oil on canvas";
    r->width = o->width ? o->width : r->width;
    r->height = o->height ? o->height : r->height;
    r->steps = o->steps;
    r->n_pictures = o->pictures;
    r->guidance = o->guidance;
    r->loras = &o->lora;
    r->n_loras = o->lora.path ? 1 : 0;
    r->precision = o->precision == DTYPE_OTHER ? r->precision : o->precision;
    r->on_progress = on_progress;
    r->on_picture = on_picture;
    r->ctx = b;
}

static int measure(struct bench *b, const struct options *o, struct err *e)
{
    struct image_model *m = NULL;
    struct moment start = now();
    int rc = image_model_open(&m, o->model, e);
    struct moment open = since(start);
    if (!rc)
        rc = cpu_backend_new(&b->inner, o->threads, o->isa, e);
    if (!rc) {
        b->base = (struct backend){.name = b->inner->name, .run = run_op};
        b->threads = o->threads;
        b->current = -1;
        request(b, o, m);
        row(b, "open", NULL, open);
        rc = imagine(m, &b->base, &b->r, e);
    }
    if (!rc) {
        struct moment total = since(start);
        report(b, o->ops);
        row(b, "total", NULL, total);
    }
    backend_free(b->inner);
    image_model_close(m);
    return rc;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static bool parse(struct options *o, int argc, char **argv)
{
    bool ok = true;
    for (int c; (c = getopt(argc, argv, "s:a:t:n:r:g:i:l:p")) != -1;) {
        if (c == 's') {
            ok = ok && sscanf(optarg, "%dx%d", &o->width, &o->height) == 2;
        } else if (c == 'a') {
            o->precision = dtype_from_name(optarg);
            ok = ok && (o->precision == DTYPE_F32 || o->precision == DTYPE_BF16);
        } else if (c == 't') {
            o->threads = number(optarg);
        } else if (c == 'n') {
            o->steps = number(optarg);
        } else if (c == 'r') {
            o->pictures = number(optarg);
        } else if (c == 'g') {
            o->guidance = strtod(optarg, NULL);
        } else if (c == 'i') {
            o->isa = optarg;
        } else if (c == 'l') {
            o->lora = (struct imagine_lora){optarg, 1, 1};
        } else if (c == 'p') {
            o->ops = true;
        } else {
            ok = false;
        }
    }
    if (optind < argc)
        o->model = argv[optind++];
    return ok && optind == argc && o->threads >= 1 && o->steps >= 1 && o->pictures >= 1;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct err e = {0};
    struct options o = {.model = getenv("LAR_BENCH_MODEL"),
                        .threads = 1,
                        .steps = 1,
                        .pictures = 3,
                        .guidance = 1,
                        .precision = DTYPE_OTHER};
    if (!parse(&o, argc, argv)) {
        fputs("usage: draw [-s WIDTHxHEIGHT] [-a f32|bf16] [-t THREADS] [-n STEPS] [-r PICTURES] "
              "[-g GUIDANCE] [-i ISA] [-l LORA] [-p] [MODEL]\n",
              stderr);
        return 2;
    }
    if (!o.model) {
        puts("skip: no model; name one, or set LAR_BENCH_MODEL");
        return 0;
    }
    puts("phase,backend,type,threads,size,guidance,wall_s,cpu_s,peak_rss_mib");
    int rc = measure(&b, &o, &e);
    if (rc)
        fprintf(stderr, "%s\n", e.text);
    return rc != 0;
}
