/* SPDX-License-Identifier: Apache-2.0 */
/* REDIS_URL: what is taken can be connected to, and neither an error nor what is shown holds the password. */
#include "queue/queue_redis_priv.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct queue_redis_address a;
        struct err e = {0};
        char *url = exact_copy((struct span){(const char *)data, size});
        if (queue_redis_parse(url, &a, &e) == 0) {
                demand((a.host[0] != '\0') != (a.path[0] == '/'));
                demand(a.path[0] || (a.port && a.shown[0]));
                demand(a.db <= 65535 && strlen(a.shown) < sizeof a.shown);
                const char *at = strrchr(url, '@'); /* what is left of it is the login */
                demand(!at || a.password[0] || a.user[0]);
                if (strlen(a.password) > 8 && !strstr(at ? at : "", a.password))
                        demand(!strstr(a.shown, a.password));
        } else {
                demand(e.code == ERR_INVALID && strncmp(e.msg, "REDIS_URL", 9) == 0);
        }
        free(url);
        return 0;
}
