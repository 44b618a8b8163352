/* SPDX-License-Identifier: Apache-2.0 */
/* SIGTERM and SIGINT of a command that ends its work in order. */
#ifndef FA_CLI_SIGNALS_PRIV_H
#define FA_CLI_SIGNALS_PRIV_H

#include <signal.h>
#include <stdbool.h>

/* Before the first thread: no thread is interrupted any more; *ends holds both. */
void signals_hold(sigset_t *ends);
/* Whether one has come since; it stays to be waited for. ctx is not used: a migration_watch asks this. */
bool signals_came(void *ctx);

#endif
