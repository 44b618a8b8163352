/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock by its system calls: the library would be larger than this file.
 * Rights grew with the versions of its ABI; asking for one that the kernel does
 * not know is an error, so they are cut to what it says it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "decode/lock.h"
#include "jail/kernel.h"

/* struct landlock_ruleset_attr as of ABI 6, which headers of a Debian 12 lack; older kernels take zeros at its end. */
struct rights {
        uint64_t files;
        uint64_t net;   /* bind and connect of TCP */
        uint64_t scope; /* abstract UNIX sockets, signals to processes outside */
};

/* All that this ABI can deny. */
static struct rights all_rights(int abi)
{
        /* rights on files: 13 at first, then REFER, TRUNCATE, IOCTL_DEV */
        unsigned files = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
        return (struct rights){.files = (1u << files) - 1, .net = abi >= 4 ? 3 : 0, .scope = abi >= 6 ? 3 : 0};
}

/* What may still be opened until seccomp forbids that too: libraries and the modules of libvips, which it loads. */
static const struct {
        const char *path;
        uint64_t rights;
} readable[] = {
        {"/usr", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR},
        {"/lib", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR},
        {"/lib64", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR},
        {"/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE},
};

static int allow(int ruleset, const char *path, uint64_t rights)
{
        struct landlock_path_beneath_attr at = {.allowed_access = rights, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
        if (at.parent_fd < 0)
                return errno == ENOENT ? 0 : -1; /* /lib64 is not everywhere */
        int r = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &at, 0);
        close(at.parent_fd);
        return r;
}

int lock_files(unsigned *locks, struct err *e)
{
        int abi = jail_landlock_abi();
        if (!abi)
                return 0;
        struct rights rights = all_rights(abi);
        int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
        int r = ruleset < 0 ? -1 : 0;
        for (size_t i = 0; !r && i < COUNT_OF(readable); i++)
                r = allow(ruleset, readable[i].path, readable[i].rights);
        if (!r)
                r = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
        if (r)
                err_set(e, ERR_UNAVAILABLE, "Landlock (ABI %d) refuses: %s", abi, strerror(errno));
        else
                *locks |= JAIL_LOCK_FILES;
        fd_close(&ruleset);
        return r;
}
