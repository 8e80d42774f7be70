/* pictures.h - pictures in tests: reading fixtures, comparing. */
#ifndef LAR_TESTS_SUPPORT_PICTURES_H
#define LAR_TESTS_SUPPORT_PICTURES_H

#include "format/picture.h"

/* Reads tests/data/pictures/NAME; fails the test when it cannot. `text` may be NULL. */
struct picture test_picture(const char *name, struct picture_text *text);

/* The largest difference of two samples; fails the test when the shapes differ. */
int test_picture_difference(const struct picture *a, const struct picture *b);

/* Fails unless NAME is refused with this error and a sentence that contains the file's name. */
void test_picture_refused(const char *path, int code);

/* Every proper prefix of a file must be refused with ERR_FORMAT, and every file with one byte
 * changed must be read or refused without harm. */
void test_picture_mutations(const char *name);

struct recipe;

/* Reads a picture that was drawn into the folder, and its recipe unless that is NULL. */
struct picture test_drawn(const char *dir, const char *name, struct recipe *recipe);
/* Fails unless two of them have the same pixels, or do not if `same` is false. */
void test_drawn_same(const char *dir, const char *a, const char *b, bool same);

#endif
