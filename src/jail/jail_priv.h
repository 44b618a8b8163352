/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the jail's parent: one child process (child.c) and the pool of them
 * (jail.c). The check of a reply is apart and pure (reply.c), because it is
 * the wall between a hostile process and us: the fuzzer calls it directly.
 */
#ifndef FA_JAIL_PRIV_H
#define FA_JAIL_PRIV_H

#include <sys/types.h>
#include "jail/jail.h"
#include "jail/protocol.h"

struct child {
        pid_t pid; /* 0: not running */
        int fd;    /* our end of the socketpair */
        unsigned files;
        unsigned locks; /* enum jail_lock */
};

/* Start the program and await its hello. On failure nothing is left running. */
int child_start(struct child *c, const struct jail_opts *o, struct err *e) MUST_CHECK;
/* SIGKILL to its process group, reap, close. Fine on a child that does not run. How it ended, as waitpid has it. */
int child_kill(struct child *c);
/* Its resident memory in bytes; 0 when the kernel does not say. */
uint64_t child_resident(const struct child *c);
/* CPU time it has used since its start, in all its threads. */
struct dur child_cpu(const struct child *c);
/*
 * Send one file. *sent is false when the child was already gone, so that the
 * file can be given to a fresh one.
 */
int child_send(struct child *c, const struct jail_request *req, int input, int memfd, bool *sent,
               struct err *e) MUST_CHECK;
/* Bytes of the reply in *n; ERR_TIMEOUT, or ERR_CRASHED with the child dead and reaped. */
int child_receive(struct child *c, struct mono deadline, struct jail_reply *r, size_t *n, struct err *e) MUST_CHECK;

/*
 * Does this answer that question? n is what recvmsg returned. 0: the reply may
 * be used (its status may still be a failure, with a clean message in
 * r->error). -1 ERR_CRASHED: it lies, kill the child. Pure.
 */
int jail_check_reply(const struct jail_reply *r, size_t n, const struct jail_request *req, uint64_t memfd_size,
                     struct err *e) MUST_CHECK;

#endif
