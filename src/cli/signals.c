/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/signals_priv.h"

void signals_hold(sigset_t *ends)
{
        sigemptyset(ends);
        sigaddset(ends, SIGTERM);
        sigaddset(ends, SIGINT);
        pthread_sigmask(SIG_BLOCK, ends, NULL);
}

bool signals_came(void *ctx)
{
        sigset_t pending;

        (void)ctx;
        return sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}
