/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "jail/kernel.h"
#include "jail/protocol.h"

int jail_landlock_abi(void)
{
        /* ENOSYS: too old; EOPNOTSUPP: built in and not enabled; EPERM: a container's filter */
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        return abi > 0 ? (int)abi : 0;
}

unsigned jail_kernel_locks(void)
{
        uint32_t action = SECCOMP_RET_KILL_PROCESS;
        unsigned locks = jail_landlock_abi() ? JAIL_LOCK_FILES : 0;
        return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) ? locks : locks | JAIL_LOCK_CALLS;
}

const char *jail_isolation(unsigned locks)
{
        static const char *const names[] = {"process", "landlock", "seccomp", "seccomp+landlock"};
        return names[locks & JAIL_LOCK_ALL];
}

const char *jail_lacks(unsigned locks)
{
        static const char *const lacks[] = {
                "neither seccomp nor Landlock is available here: a hostile picture that takes over its decoder is "
                "confined only by the process's user and limits",
                "seccomp is not available here (CONFIG_SECCOMP_FILTER, or the container's policy): only Landlock "
                "confines the decoders",
                "Landlock is not available here (Linux 5.13 with landlock enabled, allowed by the container): only "
                "seccomp confines the decoders",
                "",
        };
        return lacks[locks & JAIL_LOCK_ALL];
}
