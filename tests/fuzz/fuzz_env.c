/* SPDX-License-Identifier: Apache-2.0 */
/* The .env parser: any bytes end in pairs with well-formed names, or in an error that names a line. */
#include "config/config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(void *arg, struct span name, struct span value, struct err *e)
{
        (void)e;
        assert(name.n > 0 && !memchr(name.p, '=', name.n));
        assert(strlen(value.p) == value.n);
        *(size_t *)arg += name.n + value.n;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct err e = {0};
        size_t total = 0;

        if (config_env_parse((struct span){(const char *)data, size}, see, &total, &e) < 0)
                assert(e.code == ERR_INVALID && strncmp(e.msg, "line ", 5) == 0);
        assert(total <= size);
        return 0;
}
