/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A download appears under its name whole or not at all. Where the file system
 * can, the file has no name until then (O_TMPFILE), so that a killed program
 * leaves nothing behind; elsewhere it has a hidden temporary one. link(2)
 * refuses an existing name in one step, rename(2) replaces it in one step.
 */
#include "cli/cli_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void temp_name(struct save *s)
{
        snprintf(s->temp, sizeof s->temp, "%s/.file-allocator-%016llx.part", s->folder,
                 (unsigned long long)random_u64());
}

int save_open(struct save *s, const char *folder, struct err *e)
{
        *s = (struct save){.fd = -1};
        if ((size_t)snprintf(s->folder, sizeof s->folder, "%s", folder) >= sizeof s->folder)
                return err_set(e, ERR_INVALID, "the path is too long");
        s->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
        if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
                temp_name(s);
                s->fd = open(s->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        }
        if (s->fd >= 0)
                return 0;
        s->temp[0] = '\0';
        return err_errno(e, errno, "cannot write in %s", folder);
}

static int give_name(struct save *s, const char *name, bool replace, struct err *e)
{
        char unnamed[64];

        snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", s->fd);
        if (!replace) {
                const char *from = s->temp[0] ? s->temp : unnamed;
                if (linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0)
                        return 0;
                if (errno == EEXIST)
                        return err_set(e, ERR_CONFLICT, "%s already exists; --force replaces it", name);
                return err_errno(e, errno, "cannot name the file %s", name);
        }
        if (!s->temp[0]) {
                temp_name(s);
                if (linkat(AT_FDCWD, unnamed, AT_FDCWD, s->temp, AT_SYMLINK_FOLLOW)) {
                        s->temp[0] = '\0';
                        return err_errno(e, errno, "cannot name the file %s", name);
                }
        }
        if (rename(s->temp, name))
                return err_errno(e, errno, "cannot replace %s", name);
        s->temp[0] = '\0';
        return 0;
}

int save_finish(struct save *s, const char *name, bool replace, struct err *e)
{
        if (fsync(s->fd))
                return err_errno(e, errno, "cannot write %s", name);
        return give_name(s, name, replace, e);
}

void save_abandon(struct save *s)
{
        if (s->temp[0])
                unlink(s->temp);
        s->temp[0] = '\0';
        fd_close(&s->fd);
}
