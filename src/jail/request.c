/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a request. It comes from our own callers, so an error in it is a bug of theirs; but its names become
 * file names, and its sizes bound what a decoder may send.
 */
#include <string.h>
#include "jail/jail_priv.h"

#define NUMBER_DIGITS 4 /* of JAIL_SERIES_MAX, where a series has its '#' */

static bool name_fits(const struct jail_product_wish *w)
{
        size_t n = strnlen(w->name, JAIL_NAME_MAX), numbers = 0;
        if (n + (w->series ? NUMBER_DIGITS - 1 : 0) >= JAIL_NAME_MAX || w->name[0] == '.' || strstr(w->name, ".."))
                return false;
        for (size_t i = 0; i < n; i++) {
                char c = w->name[i];
                bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
                if (!plain && c != '#')
                        return false;
                numbers += c == '#';
        }
        return numbers == (w->series ? 1 : 0);
}

static const char *product_fault(const struct decode_request *want, size_t i)
{
        const struct jail_product_wish *w = &want->product[i];
        if (!w->name[0])
                return NULL;
        if (!name_fits(w))
                return "a product's name";
        for (size_t k = 0; k < i; k++)
                if (!strcmp(w->name, want->product[k].name))
                        return "two products of one name";
        if (w->type >= JAIL_TYPE_COUNT || w->series > JAIL_SERIES_MAX)
                return "a product's type or number";
        return NULL;
}

static const char *input_fault(const struct jail_input_wish *w)
{
        if (!w->width)
                return NULL;
        if (!w->height || w->height > JAIL_OUTPUT_MAX / 3 / w->width)
                return "an input's size";
        if (!w->crop_num || !w->crop_den || w->tensor >= JAIL_TENSOR_COUNT)
                return "an input's shape";
        if (w->series > JAIL_SERIES_MAX || w->part >= PART_KIND_COUNT || (w->part == PART_WHOLE) != (w->series == 0))
                return "an input's part or number";
        return NULL;
}

int jail_check_request(const struct decode_request *want, struct err *e)
{
        const char *fault = want->reader < JAIL_READER_COUNT ? NULL : "the reader";
        for (size_t i = 0; i < COUNT_OF(want->product) && !fault; i++)
                fault = product_fault(want, i);
        for (size_t i = 0; i < COUNT_OF(want->input) && !fault; i++)
                fault = input_fault(&want->input[i]);
        if (want->max_text > JAIL_OUTPUT_MAX && !fault)
                fault = "the bound of text";
        return fault ? err_set(e, ERR_INVALID, "a request to decode makes no sense: %s", fault) : 0;
}
