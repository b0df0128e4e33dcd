/* SPDX-License-Identifier: MPL-2.0
 *
 *  command_line.h - the program weft as people run it, for end-to-end tests: what it prints, where, and its exit code. */

#ifndef COMMAND_LINE_H_INCLUDED
#define COMMAND_LINE_H_INCLUDED

#include "mesh.h"

/*  Runs weft at the mesh's broker; the arguments follow. */
#define WEFT(mesh, ...) mesh_run (mesh, NULL, "weft", __VA_ARGS__, "-b", mesh_endpoint (mesh), NULL)

/*  Runs a line of shell in which $WEFT is the program. */
result_t shell (mesh_t *mesh, const char *shell_name, const char *line);

/*  Writes a file of `size` bytes. */
void write_file (const char *path, const char *text, size_t size);

/*  Whether `part` is in the text; prints both if not. */
bool has (const char *text, const char *part);

size_t count_lines (const char *text);

/*  One line on stderr, "weft: " first, that names `part`; nothing on stdout. */
void check_fails (result_t result, int code, const char *part);

/*  This on stdout, nothing on stderr, exit code 0. */
void check_prints (result_t result, const char *out);

/*  A mesh of a broker and one worker, which is told if `worker` is not NULL. */
mesh_t *new_mesh (process_t **worker);

/*  A socket on a free port of this host; listening only if asked. Its endpoint names it. */
int take_port (bool listening, char endpoint [64]);

#endif
