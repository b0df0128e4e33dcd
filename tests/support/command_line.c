/* SPDX-License-Identifier: MPL-2.0 */

#include "command_line.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

result_t shell (mesh_t *mesh, const char *shell_name, const char *line)
{
    CHECK (setenv ("WEFT", mesh_program ("weft"), 1) == 0 && setenv ("WEFT_BROKER", mesh_endpoint (mesh), 1) == 0);
    const result_t result = mesh_run (mesh, NULL, shell_name, "-c", line, NULL);
    unsetenv ("WEFT_BROKER");
    return result;
}

void write_file (const char *path, const char *text, size_t size)
{
    FILE *const file = fopen (path, "w");
    CHECK (file && fwrite (text, 1, size, file) == size && fclose (file) == 0);
}

bool has (const char *text, const char *part)
{
    if (strstr (text, part))
        return true;
    fprintf (stderr, "\"%s\" is not in:\n%s\n", part, text);
    return false;
}

size_t count_lines (const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

void check_fails (result_t result, int code, const char *part)
{
    CHECK_STR (result.out, "");
    CHECK (has (result.err, part));
    CHECK (strncmp (result.err, "weft: ", 6) == 0);
    CHECK_INT (count_lines (result.err), 1);
    CHECK_INT (result.code, code);
}

void check_prints (result_t result, const char *out)
{
    CHECK_STR (result.err, "");
    CHECK_STR (result.out, out);
    CHECK_INT (result.code, 0);
}

mesh_t *new_mesh (process_t **worker)
{
    mesh_t *const mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    process_t *const started = mesh_worker (mesh, NULL);
    if (worker)
        *worker = started;
    return mesh;
}

int take_port (bool listening, char endpoint [64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl (INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK (fd >= 0 && bind (fd, (struct sockaddr *) &address, size) == 0);
    CHECK (!listening || listen (fd, 8) == 0);
    CHECK (getsockname (fd, (struct sockaddr *) &address, &size) == 0);
    snprintf (endpoint, 64, "tcp://127.0.0.1:%d", ntohs (address.sin_port));
    return fd;
}
