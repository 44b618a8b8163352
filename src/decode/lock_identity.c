/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's identity. When root runs it, it becomes the user nobody, so that even without seccomp and Landlock it
 * cannot open the service's files. The hard part is that the parent must stay able to kill it: only CAP_KILL permits
 * signals to another user's process, and a root without that capability keeps its child as root, though without
 * capabilities.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "decode/lock_priv.h"

#define NOBODY 65534 /* the kernel's overflow id, which owns nothing */

static int capability_call(int call, struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        return (int)syscall(call, &head, data);
}

static bool may_become_nobody(void)
{
        const uint32_t need = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;
        struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = {0};
        return geteuid() == 0 && !capability_call(SYS_capget, have) && (have[0].effective & need) == need;
}

int lock_identity(struct err *e)
{
        const struct rlimit none = {0, 0};
        struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3] = {0};
        umask(077);
        /* a user namespace may lack that user, or groups to set: then the process stays root, without capabilities */
        if (may_become_nobody() &&
            (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)) &&
            errno != EINVAL && errno != EPERM)
                return err_set(e, ERR_UNAVAILABLE, "cannot become nobody: %s", strerror(errno));
        if (chdir("/") || capability_call(SYS_capset, nothing) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
            prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || setrlimit(RLIMIT_CORE, &none))
                return err_set(e, ERR_UNAVAILABLE, "cannot give up privileges: %s", strerror(errno));
        return 0;
}
