/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock through its system calls: the library would be larger than this file. Rights were added with each version
 * of its ABI; asking for one that the kernel does not know is an error, so they are reduced to what the kernel
 * reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "decode/lock_priv.h"
#include "jail/kernel.h"

/* struct landlock_ruleset_attr as of ABI 6, which headers of a Debian 12 lack; older kernels take zeros at its end. */
struct rights {
        uint64_t files;
        uint64_t net;   /* bind and connect of TCP */
        uint64_t scope; /* abstract UNIX sockets, signals to processes outside */
};

/* All rights that this ABI can deny. */
static struct rights all_rights(int abi)
{
        /* rights on files: 13 at first, then REFER, TRUNCATE, IOCTL_DEV */
        unsigned files = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
        return (struct rights){.files = (1u << files) - 1, .net = abi >= 4 ? 3 : 0, .scope = abi >= 6 ? 3 : 0};
}

/* Files that may be opened until seccomp forbids that too: libraries and the modules that libvips loads. */
#define READ_ALL (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

struct place {
        const char *path;
        uint64_t rights;
};
static const struct place libraries[] = {
        {"/usr", READ_ALL},
        {"/lib", READ_ALL},
        {"/lib64", READ_ALL},
        {"/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE},
};

/* Files that drawing and reading text needs at unpredictable times: a page may ask for any font. */
static const struct place of_documents[] = {
        {"/usr/share/fonts", READ_ALL},         {"/usr/local/share/fonts", READ_ALL}, {"/etc/fonts", READ_ALL},
        {"/usr/share/fontconfig", READ_ALL},    {"/var/cache/fontconfig", READ_ALL},  {"/usr/share/poppler", READ_ALL},
        {"/usr/share/tesseract-ocr", READ_ALL},
};

static int allow_place(int ruleset, const char *path, uint64_t rights)
{
        struct landlock_path_beneath_attr at = {.allowed_access = rights, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
        if (at.parent_fd < 0)
                return errno == ENOENT ? 0 : -1; /* not every system has all of them */
        int r = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &at, 0);
        close(at.parent_fd);
        return r;
}

static int allow_all(int ruleset, const struct place *places, size_t n)
{
        int r = 0;
        for (size_t i = 0; !r && i < n; i++)
                r = allow_place(ruleset, places[i].path, places[i].rights);
        return r;
}

enum places { PLACES_LIBRARIES = 1, PLACES_DOCUMENTS = 2 };

/*
 * Returns 1 when locked, 0 when the kernel does not offer Landlock. Rulesets accumulate: a file must be permitted by
 * each of them.
 */
static int restrict_to(unsigned places, struct err *e)
{
        int abi = jail_landlock_abi();
        if (!abi)
                return 0;
        struct rights rights = all_rights(abi);
        int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
        int r = ruleset < 0 ? -1 : 0;
        if (!r && places & PLACES_LIBRARIES)
                r = allow_all(ruleset, libraries, COUNT_OF(libraries));
        if (!r && places & PLACES_DOCUMENTS)
                r = allow_all(ruleset, of_documents, COUNT_OF(of_documents));
        if (!r)
                r = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
        if (r)
                err_set(e, ERR_UNAVAILABLE, "Landlock (ABI %d) refuses: %s", abi, strerror(errno));
        fd_close(&ruleset);
        return r ? -1 : 1;
}

int lock_files(enum jail_profile profile, unsigned *locks, struct err *e)
{
        int r = restrict_to(PLACES_LIBRARIES | (profile == JAIL_DOCUMENTS ? PLACES_DOCUMENTS : 0), e);
        if (r > 0)
                *locks |= JAIL_LOCK_FILES;
        return r < 0 ? -1 : 0;
}

int lock_files_of(enum jail_profile profile, struct err *e)
{
        if (profile == JAIL_MEDIA)
                return 0;
        return restrict_to(PLACES_DOCUMENTS, e) < 0 ? -1 : 0;
}
