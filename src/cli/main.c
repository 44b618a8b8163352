/* SPDX-License-Identifier: Apache-2.0 */
/* The program: read the arguments, run one command, and notice when its output could not be written. */
#include "cli/cli_priv.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int show_help(const struct cli *c, bool asked)
{
        struct buf out;

        buf_init(&out, 64 * 1024);
        if (c->command)
                help_command(c->syntax, c->command, &out);
        else
                help_overview(c->syntax, &out);
        if (asked)
                print_buf(&out);
        else
                fputs(buf_str(&out), stderr);
        buf_done(&out);
        return asked ? CLI_OK : CLI_USAGE;
}

static int run_command(const struct cli *c)
{
        if (cli_has(c, "help"))
                return show_help(c, true);
        if (cli_has(c, "version"))
                return run_version(c);
        if (!c->command)
                return show_help(c, false);
        return c->command->run(c);
}

/* "| head" has seen enough: no news. A full disk is. Which write failed, and why, stdio does not keep. */
static int flush_output(int rc)
{
        struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

        if (fflush(stdout) == 0 && !ferror(stdout))
                return rc;
        if (poll(&out, 1, 0) > 0 && (out.revents & POLLERR))
                return rc;
        complain("the output could not be written");
        return rc ? rc : CLI_FAILED;
}

int main(int argc, char **argv)
{
        struct cli c;
        struct err e;
        int rc;

        signal(SIGPIPE, SIG_IGN);
        text_locale();
        fault_init();
        if (cli_parse(&c, &cli_syntax, argc, argv, &e)) {
                complain("%s", e.msg);
                rc = CLI_USAGE;
        } else {
                rc = run_command(&c);
        }
        cli_done(&c);
        return flush_output(rc);
}
