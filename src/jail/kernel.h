/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel offers for locking a process in, under the rules of the
 * container we may be in. Parent and child ask the same: the child to know
 * what to lock, the parent to say so before the first child has started.
 */
#ifndef FA_JAIL_KERNEL_H
#define FA_JAIL_KERNEL_H

/* The ABI of Landlock, from 1; 0 where there is none. */
int jail_landlock_abi(void);
/* Mask of enum jail_lock. */
unsigned jail_kernel_locks(void);
/* "seccomp+landlock", "seccomp", "landlock" or "process". */
const char *jail_isolation(unsigned locks);
/* A sentence on what is missing of JAIL_LOCK_ALL, or "". */
const char *jail_lacks(unsigned locks);

#endif
