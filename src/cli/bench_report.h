/* bench_report.h - what `lar bench` measured, as a table, CSV or JSON. */
#ifndef LAR_CLI_BENCH_REPORT_H
#define LAR_CLI_BENCH_REPORT_H

struct backend;
struct err;
struct options;
struct text_model;

enum bench_kind { BENCH_PROMPT, BENCH_ANSWER, BENCH_FIRST };

struct bench_row {
    enum bench_kind kind;
    int tokens;      /* of the prompt, or of each answer */
    int depth;       /* tokens that each sequence held before */
    int sequences;   /* at once */
    double *seconds; /* [n], one for each repetition; owned by the report */
    int n;
};

/* A zeroed one is empty. */
struct bench_report {
    struct bench_row *rows;
    int n, cap;
};

/* Takes row->seconds and sorts them. */
void bench_report_add(struct bench_report *r, const struct bench_row *row);
void bench_report_release(struct bench_report *r);

/* Prints to standard output in the form that --csv or --json ask for. */
int bench_report_print(const struct bench_report *r, const struct options *o,
                       const struct text_model *m, const struct backend *b, struct err *e);

#endif
