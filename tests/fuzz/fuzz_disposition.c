/* SPDX-License-Identifier: Apache-2.0 */
/* A strange server's headers: a suggested file name must be fit for the user's folder, and a header is found whole. */
#include "httpc/httpc_priv.h"
#include "fuzz.h"

static void check_name(const char *name)
{
        demand(!strpbrk(name, "/\\") && !has_control(span_of(name)) && utf8_valid(span_of(name)));
        demand(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *copy = malloc(size ? size : 1), name[256], tiny[5];
        struct httpc_response r = {0};
        struct span s = {copy, size}, value;
        demand(copy != NULL);
        if (size)
                memcpy(copy, data, size);
        httpc_disposition_name(s, name, sizeof name);
        check_name(name);
        httpc_disposition_name(s, tiny, sizeof tiny);
        check_name(tiny);
        buf_init(&r.headers, 1 << 20);
        buf_put(&r.headers, copy, size);
        if (httpc_response_header(&r, "ETag", &value))
                demand(value.n == 0 || !memchr(value.p, '\n', value.n));
        buf_done(&r.headers);
        free(copy);
        return 0;
}
