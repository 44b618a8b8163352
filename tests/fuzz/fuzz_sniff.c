/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes get a type: the first byte cuts a name off the front, the rest is the file, head and tail. */
#include <stdlib.h>
#include <string.h>
#include "sniff/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!size)
                return 0;
        const char *p = (const char *)data + 1;
        size_t n = size - 1, name = data[0] < n ? data[0] : n;
        struct sniff_input in = {.name = {p, name}, .content_type = {p, name}};
        p += name;
        n -= name;
        in.size = n;
        in.head = (struct span){p, n < SNIFF_HEAD ? n : SNIFF_HEAD};
        in.tail = (struct span){p + (n > SNIFF_TAIL ? n - SNIFF_TAIL : 0), n < SNIFF_TAIL ? n : SNIFF_TAIL};
        struct sniff_type t = sniff(&in);
        if (!t.mime || !t.extension)
                abort();
        in.tail = (struct span){0};
        (void)sniff(&in);
        return 0;
}
