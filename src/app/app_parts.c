/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by a server and a copy of its data: locking the data folder, and opening a storage as the settings say. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "app/app_priv.h"

static int write_pid(int fd, const char *path, struct err *e)
{
        char pid[24];
        int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        /* The number is for people; the lock itself needs no space, so a full disk is no reason to refuse the start. */
        if (ftruncate(fd, 0) || (pwrite(fd, pid, (size_t)n, 0) != n && errno != ENOSPC && errno != EDQUOT))
                return err_errno(e, errno, "cannot write %s", path);
        return 0;
}

static int lock_data(int fd, const char *data, struct err *e)
{
        char pid[24] = "";
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                return 0;
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        return err_set(e, ERR_CONFLICT, "DATA_PATH %s is in use by process %s", data, *pid ? pid : "unknown");
}

int app_data_lock(const char *data, int *fd, struct err *e)
{
        char path[4200];
        snprintf(path, sizeof path, "%s/lock", data);
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (*fd < 0)
                return err_errno(e, errno, "cannot open %s", path);
        return lock_data(*fd, data, e) ? -1 : write_pid(*fd, path, e);
}

int app_data_lock_if_any(const char *data, int *fd, struct err *e)
{
        char path[4200];
        snprintf(path, sizeof path, "%s/lock", data);
        *fd = open(path, O_RDWR | O_CLOEXEC);
        if (*fd >= 0)
                return lock_data(*fd, data, e) ? -1 : write_pid(*fd, path, e);
        if (errno == ENOENT)
                return 0;
        *fd = open(path, O_RDONLY | O_CLOEXEC);
        return *fd < 0 ? err_errno(e, errno, "cannot open %s", path) : lock_data(*fd, data, e);
}

int app_spool_apart(const struct config *c, bool set, char own[PATH_MAX], struct storage_opts *o, struct err *e)
{
        const char *tmp = getenv("TMPDIR");
        if (strncmp(o->url, "s3://", 5) != 0 || (set && c->origin[CONFIG_SPOOL_PATH] != ORIGIN_DEFAULT))
                return 0;
        if (!*own) {
                snprintf(own, PATH_MAX, "%s/file-allocator-XXXXXX", tmp && *tmp ? tmp : "/tmp");
                if (!mkdtemp(own)) {
                        err_errno(e, errno, "cannot make a folder for uploads, %.160s", own);
                        *own = '\0';
                        return -1;
                }
        }
        o->s3.spool_path = own;
        return 0;
}

void app_storage_opts(const struct config *c, char role_url[APP_ROLE_URL_MAX], struct storage_opts *out)
{
        snprintf(role_url, APP_ROLE_URL_MAX, "%s", c->aws_container_credentials_full_uri);
        if (*c->aws_container_credentials_relative_uri == '/')
                snprintf(role_url, APP_ROLE_URL_MAX, "http://169.254.170.2%s",
                         c->aws_container_credentials_relative_uri);
        *out = (struct storage_opts){.url = c->storage_backend,
                                     .path = c->storage_path,
                                     .s3 = {.bucket = c->s3_bucket,
                                            .endpoint = c->s3_endpoint_url,
                                            .region = c->aws_region,
                                            .key = c->aws_access_key_id,
                                            .secret = c->aws_secret_access_key,
                                            .token = c->aws_session_token,
                                            .role_url = role_url,
                                            .role_token = c->aws_container_authorization_token,
                                            .force_path_style = c->s3_force_path_style,
                                            .write_back = c->s3_write_back,
                                            .spool_path = c->spool_path,
                                            .spool_max_bytes = (uint64_t)c->spool_max_bytes}};
}
