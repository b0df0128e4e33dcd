/* SPDX-License-Identifier: MPL-2.0 */

#include "sleeper.h"
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ALARM      (1u << 31)
#define EVENTS_MAX 8

bool sleeper_open (sleeper_t *self)
{
    self->alarm_us = INT64_MAX;
    self->epoll = epoll_create1 (EPOLL_CLOEXEC);
    self->timer = timerfd_create (CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return self->epoll >= 0 && self->timer >= 0 && sleeper_add (self, self->timer, ALARM);
}

void sleeper_close (sleeper_t *self)
{
    if (self->epoll >= 0)
        close (self->epoll);
    if (self->timer >= 0)
        close (self->timer);
    self->epoll = self->timer = -1;
}

bool sleeper_add (sleeper_t *self, int fd, unsigned mark)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = mark}};
    return epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void sleeper_remove (sleeper_t *self, int fd)
{
    (void) epoll_ctl (self->epoll, EPOLL_CTL_DEL, fd, NULL); /* fails if it was not added */
}

static void set_alarm (sleeper_t *self, int64_t at_us)
{
    const int64_t later_us = at_us > 0 ? at_us : 1; /* 0 would stop it */
    const struct itimerspec time = {.it_value = {.tv_sec = later_us / 1000000, .tv_nsec = later_us % 1000000 * 1000}};
    if (timerfd_settime (self->timer, TFD_TIMER_ABSTIME, &time, NULL) == 0)
        self->alarm_us = at_us;
}

unsigned sleeper_sleep (sleeper_t *self, int64_t until_us)
{
    struct epoll_event events [EVENTS_MAX];
    unsigned marks = 0;

    if (until_us < self->alarm_us)
        set_alarm (self, until_us);
    const int count = epoll_wait (self->epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++)
        marks |= events [i].data.u32;
    if (marks & ALARM) {
        uint64_t times;
        if (read (self->timer, &times, sizeof times) < 0) {
        }
        self->alarm_us = INT64_MAX;
    }
    return marks & ~ALARM;
}
