/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits of the process: what a file may cost even without any lock on system calls. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include "decode/lock_priv.h"

#define ADDRESS_SPACE (1ul << 30)
#define OPEN_FILES    64
#define USER_THREADS  4096 /* counts all processes of our user together: enough for them, and a bound on a fork bomb */

/* Never above the inherited limit, which we could not raise anyway. */
static int set_limit(int what, rlim_t soft, rlim_t hard)
{
        struct rlimit l;
        if (getrlimit(what, &l))
                return -1;
        l.rlim_max = hard < l.rlim_max ? hard : l.rlim_max;
        l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
        return setrlimit(what, &l);
}

static rlim_t cpu_used(void)
{
        struct rusage u;
        return getrusage(RUSAGE_SELF, &u) ? 0 : (rlim_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1);
}

int lock_limits(unsigned cpu_seconds, struct err *e)
{
        rlim_t cpu = cpu_used() + cpu_seconds;
        signal(SIGXFSZ, SIG_IGN); /* beyond RLIMIT_FSIZE a write should fail instead of killing the process */
        signal(SIGPIPE, SIG_IGN);
        if (set_limit(RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES) ||
            set_limit(RLIMIT_FSIZE, JAIL_OUTPUT_MAX, JAIL_OUTPUT_MAX) ||
            set_limit(RLIMIT_NPROC, USER_THREADS, USER_THREADS) ||
#ifndef FA_ASAN /* AddressSanitizer reserves terabytes of address space */
            set_limit(RLIMIT_AS, ADDRESS_SPACE, ADDRESS_SPACE) ||
#endif
            set_limit(RLIMIT_CPU, cpu, cpu + 1)) /* SIGXCPU identifies the cause; SIGKILL follows a second later */
                return err_set(e, ERR_UNAVAILABLE, "cannot set limits: %s", strerror(errno));
        return 0;
}
