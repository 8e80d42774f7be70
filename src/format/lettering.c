/* lettering.c - see lettering.h. */
#include "format/lettering.h"

#include "base/utf8.h"
#include "format/picture.h"

#include <stdbool.h>
#include <string.h>

#define PER_GROUP 12

/* The letters from the space on, twelve in a group, five columns each and one between them; the
 * last one stands for all others. */
static const char font[8][7][PER_GROUP * LETTERING_WIDTH] = {
    {/*  !"#$%&'()*+ */
     "        #    # #   # #    #   ##  #  ##     #      #   #               ",
     "        #    # #   # #   #### ##  # #  #    #     #     #   # # #   #  ",
     "        #         ##### # #      #  #  #         #       #   ###    #  ",
     "        #          # #   ###    #    ##          #       #  ##### #####",
     "        #         #####   # #  #    # # #        #       #   ###    #  ",
     "                   # #  ####  #  ## #  #          #     #   # # #   #  ",
     "        #          # #    #   #  ##  ## #          #   #               "},
    {/* ,-./01234567 */
     "                      #  ###    #    ###   ###     #  #####   ##  #####",
     "                      # #   #  ##   #   # #   #   ##  #      #        #",
     "                     #  #  ##   #       #     #  # #  ####  #        # ",
     "      #####         #   # # #   #     ##    ##  #  #      # ####    #  ",
     " ##                #    ##  #   #    #        # #####     # #   #   #  ",
     "  #          ##   #     #   #   #   #     #   #    #  #   # #   #  #   ",
     " #           ##   #      ###   ###  #####  ###     #   ###   ###   #   "},
    {/* 89:;<=>?@ABC */
     " ###   ###                 #         #     ###   ###    #   ####   ### ",
     "#   # #   #  ##    ##     #           #   #   # #   #  # #  #   # #   #",
     "#   # #   #  ##    ##    #    #####    #      # # ### #   # #   # #    ",
     " ###   ####             #               #   ##  # # # #   # ####  #    ",
     "#   #     #  ##    ##    #    #####    #    #   # ### ##### #   # #    ",
     "#   #    #   ##     #     #           #         #     #   # #   # #   #",
     " ###   ##          #       #         #      #    #### #   # ####   ### "},
    {/* DEFGHIJKLMNO */
     "###   ##### #####  ###  #   #  ###    ### #   # #     #   # #   #  ### ",
     "#  #  #     #     #   # #   #   #      #  #  #  #     ## ## ##  # #   #",
     "#   # #     #     #     #   #   #      #  # #   #     # # # # # # #   #",
     "#   # ####  ####  #  ## #####   #      #  ##    #     # # # # # # #   #",
     "#   # #     #     #   # #   #   #      #  # #   #     #   # #  ## #   #",
     "#  #  #     #     #   # #   #   #   #  #  #  #  #     #   # #   # #   #",
     "###   ##### #      #### #   #  ###   ##   #   # ##### #   # #   #  ### "},
    {/* PQRSTUVWXYZ[ */
     "####   ###  ####   #### ##### #   # #   # #   # #   # #   # #####  ### ",
     "#   # #   # #   # #       #   #   # #   # #   # #   # #   #     #  #   ",
     "#   # #   # #   # #       #   #   # #   # #   #  # #   # #     #   #   ",
     "####  #   # ####   ###    #   #   # #   # # # #   #     #     #    #   ",
     "#     # # # # #       #   #   #   #  # #  # # #  # #    #    #     #   ",
     "#     #  #  #  #      #   #   #   #  # #  ## ## #   #   #   #      #   ",
     "#      ## # #   # ####    #    ###    #   #   # #   #   #   #####  ### "},
    {/* \]^_`abcdefg */
     "#      ###    #          #          #               #         ##       ",
     "#        #   # #          #         #               #        #         ",
     " #       #  #   #              ###  ####   ####  ####  ###   #     ####",
     "  #      #                        # #   # #     #   # #   # ####  #   #",
     "   #     #                     #### #   # #     #   # #####  #     ####",
     "    #    #                    #   # #   # #     #   # #      #        #",
     "    #  ###        #####        #### ####   ####  ####  ###   #     ### "},
    {/* hijklmnopqrs */
     "#       #      #  #      ##                                            ",
     "#                 #       #                                            ",
     "####   ##     ##  #  #    #   ## #  ####   ###  ####   #### # ##   ####",
     "#   #   #      #  # #     #   # # # #   # #   # #   # #   # ##    #    ",
     "#   #   #      #  ##      #   # # # #   # #   # ####   #### #      ### ",
     "#   #   #   #  #  # #     #   # # # #   # #   # #         # #         #",
     "#   #  ###   ##   #  #   ###  # # # #   #  ###  #         # #     #### "},
    {/* tuvwxyz{|}~ */
     " #                                           ##   #   ##          #####",
     " #                                          #     #     #         #   #",
     "####  #   # #   # #   # #   # #   # #####   #     #     #    #  # #   #",
     " #    #   # #   # # # #  # #  #   #    #   #      #      #  # ##  #   #",
     " #    #   #  # #  # # #   #    ####   #     #     #     #         #   #",
     " #    #   #  # #  # # #  # #      #  #      #     #     #         #   #",
     "  ##   ####   #    # #  #   #  ###  #####    ##   #   ##          #####"},
};

static bool ink(uint32_t c, int row, int column)
{
    unsigned i = c < ' ' || c > '~' ? 0x7f - ' ' : c - ' ';
    return font[i / PER_GROUP][row][i % PER_GROUP * LETTERING_WIDTH + (unsigned)column] == '#';
}

/* A black square, as far as it lies inside. */
static void dot(struct picture *p, int x, int y, int side)
{
    for (int row = y < 0 ? 0 : y; row < y + side && row < p->height; row++)
        for (int column = x < 0 ? 0 : x; column < x + side && column < p->width; column++)
            memset(p->data + ((size_t)row * (size_t)p->width + (size_t)column) * 3, 0, 3);
}

void lettering_draw(struct picture *p, struct lettering_place at, const char *text, size_t n)
{
    size_t taken;
    for (size_t i = 0; i < n; i += taken, at.x += LETTERING_WIDTH * at.scale) {
        uint32_t c = utf8_decode(text + i, n - i, &taken);
        for (int row = 0; row < 7; row++)
            for (int column = 0; column < LETTERING_WIDTH - 1; column++)
                if (ink(c, row, column))
                    dot(p, at.x + column * at.scale, at.y + row * at.scale, at.scale);
    }
}
